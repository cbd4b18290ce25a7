"""Two equal stages, scores of the classifier, as a released config has it: what ISM and RSM of two
stages without CMM are to be measured by. The paper has no such row.
"""

from .two_stages_ism_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/two_stages_r50_fpn_2x"
