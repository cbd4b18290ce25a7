"""Schedules of the learning rate. Those of the papers are for COCO train2017, 16 images a batch:
117,266 images with objects, 7,330 iterations an epoch.

The shape is relative: `lr_multiplier_1x` over twice the iterations (train.max_iter = 175_920) is
the 2x schedule, and a small config sets train.max_iter and lr_multiplier.warmup_iters.
"""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.engine.schedule import step_schedule

lr_multiplier_1x = L(step_schedule)(
    max_iter="${train.max_iter}",
    milestones=[58_640, 80_630],  # epochs 8 and 11
    length=87_960,  # 12 epochs
    gamma=0.1,
    warmup_iters=500,
    # mmdet 3.x; the authors' code starts from 1/3.
    warmup_factor=0.001,
)

# Fine-tuning of a trained detector: an epoch each at 0.02, 0.002 and 0.0002 (Guided Anchoring,
# section 4.2).
lr_multiplier_finetune = L(step_schedule)(
    max_iter="${train.max_iter}",
    milestones=[7_330, 14_660],
    length=21_990,  # 3 epochs
    gamma=0.1,
    # Open; as in the other schedules, for the rate is a hundred times that of the training's end.
    warmup_iters=500,
    warmup_factor=0.001,
)
