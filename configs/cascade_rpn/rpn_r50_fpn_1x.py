"""RPN, R-50 FPN, 1x: the baseline of Tables 1 and 3 (AR 44.6 / 52.9 / 58.3 on val2017)."""

from ..common.data.coco import dataloader
from ..common.models.rpn_fpn import model
from ..common.optim import optimizer
from ..common.schedules import lr_multiplier_1x as lr_multiplier
from ..common.train import train

train.output_dir = "output/cascade_rpn/rpn_r50_fpn_1x"
train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
train.clip_grad_norm = 35.0
