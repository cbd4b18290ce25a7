"""CPM R-CNN of three stages, R-50 FPN, 2x: Table 2 (41.5 AP on val2017)."""

from ..common.data.coco_detection import dataloader
from ..common.models.cpm_rcnn_fpn import model
from ..common.optim import optimizer
from ..common.schedules import lr_multiplier_2x as lr_multiplier
from ..common.train import train

train.output_dir = "output/cpm_rcnn/cpm_rcnn_r50_fpn_2x"
train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
train.max_iter = 180_000
train.best_checkpoint = {"metric": "bbox/AP", "mode": "max"}

model.pixel_mean = [102.9801, 115.9465, 122.7717]
# All released configs have this decay; the paper has 4e-5 (section 3.4.2).
optimizer.weight_decay = 1e-4
# Biases learn twice as fast, and neither they nor norms decay (released code).
optimizer.params.base_lr = "${..lr}"
optimizer.params.bias_lr_factor = 2.0
optimizer.params.weight_decay_bias = 0.0
optimizer.params.weight_decay_norm = 0.0
