"""CPM R-CNN, X-101-64x4d FPN with deformable convolutions, 2x: Table 7 (46.4 AP on test-dev)."""

from cascade_rpn_d2.modeling import DeformBottleneckBlock

from .cpm_rcnn_x101_64x4d_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

# In all blocks of res3 to res5, without modulation and in one group (released config).
for _stage in model.backbone.bottom_up.stages[1:]:
    _stage.block_class = DeformBottleneckBlock
    _stage.deform_modulated = False
    _stage.deform_num_groups = 1
train.output_dir = "output/cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_fpn_2x"
