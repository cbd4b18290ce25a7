"""Grid R-CNN with group norm, R-50 FPN, 25 epochs, as mmdet trains it (40.4 AP on val2017)."""

from torchvision.models import ResNet50_Weights

from ..common.data.coco_detection import dataloader
from ..common.models.grid_rcnn_fpn import model
from ..common.optim import optimizer
from ..common.schedules import lr_multiplier_25_epochs as lr_multiplier
from ..common.train import train

train.output_dir = "output/grid_rcnn/grid_rcnn_r50_fpn_2x"
train.init_checkpoint = ResNet50_Weights.IMAGENET1K_V1.url  # downloaded once
train.max_iter = 183_250
train.best_checkpoint = {"metric": "bbox/AP", "mode": "max"}
dataloader.train.mapper.image_format = "RGB"
