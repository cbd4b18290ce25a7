"""Grid R-CNN Plus, R-50 FPN, 25 epochs of 64 images, as its authors train it (40.4 AP on val2017).

The network is that of mmdet's Grid R-CNN. As in the other configs, anchors and RoIAlign are not
those of the authors' code; the config in `authors/` has theirs.
"""

from .grid_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

train.output_dir = "output/grid_rcnn/grid_rcnn_plus_r50_fpn_2x"
dataloader.train.total_batch_size = 64
optimizer.lr = 0.08
train.clip_grad_norm = 35.0
# The same epochs, in a quarter of the iterations, 1,833 an epoch.
train.max_iter = 45_825
train.eval_period = 1_833
train.checkpointer.period = 1_833

(_stage,) = model.roi_heads.grid_stages
_stage.head.init = "plus"
_stage.min_region_size = 4.0
