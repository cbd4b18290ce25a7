"""Schedules of the learning rate. Those of the papers are for COCO train2017, 16 images a batch:
117,266 images with objects, 7,330 iterations an epoch.

The shape is relative: an experiment of another length sets train.max_iter, and a small one
lr_multiplier.warmup_iters too.
"""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.engine import step_schedule

lr_multiplier_1x = L(step_schedule)(
    max_iter="${train.max_iter}",
    milestones=[58_640, 80_630],  # epochs 8 and 11
    length=87_960,  # 12 epochs
    gamma=0.1,
    warmup_iters=500,
    # mmdet 3.x; the authors' code starts from 1/3.
    warmup_factor=0.001,
)

# The 2x of CPM R-CNN: 24.6 epochs (section 3.4.2). The warm-up is the released code's.
lr_multiplier_2x = L(step_schedule)(
    max_iter="${train.max_iter}",
    milestones=[120_000, 160_000],
    length=180_000,
    gamma=0.1,
    warmup_iters=500,
    warmup_factor=0.1,
)

# The 2x of Grid R-CNN Plus and mmdet, whose models are said to be of 24 epochs.
lr_multiplier_25_epochs = L(step_schedule)(
    max_iter="${train.max_iter}",
    milestones=[124_610, 168_590],  # epochs 17 and 23
    length=183_250,
    gamma=0.1,
    # Half an epoch here; two for Plus, whose batches are four times as large.
    warmup_iters=3_665,
    warmup_factor=1.0 / 80,
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
