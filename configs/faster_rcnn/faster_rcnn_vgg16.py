"""Faster R-CNN, VGG-16, trained jointly on COCO: the original detector at its original image size.

It has the 9 anchors of the paper's text, which are those of its numbers on PASCAL VOC; with the 12
that the paper has on COCO it is `faster_rcnn_12_anchors_vgg16.py`. The paper trains in four steps,
as `cascade-rpn train-alternating` does with this config.
"""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from torchvision.models import VGG16_Weights

from ..common.data.coco_detection import dataloader
from ..common.models.faster_rcnn_vgg16 import model
from ..common.optim import optimizer
from ..common.schedules import lr_multiplier_1x as lr_multiplier
from ..common.train import train

train.output_dir = "output/faster_rcnn/faster_rcnn_vgg16"
train.init_checkpoint = VGG16_Weights.IMAGENET1K_V1.url  # downloaded once
train.best_checkpoint = {"metric": "bbox/AP", "mode": "max"}

# 240k iterations at 0.003 and 80k at 0.0003 with 8 images in every step that trains RPN and 16 in
# those of Fast R-CNN (section 4.2). The authors alternate between the two; py-faster-rcnn trains
# both at once, for 490k iterations of 2 images. Here both at once, in the schedule for 8 images.
train.max_iter = 320_000
train.eval_period = 40_000
train.checkpointer.period = 20_000
lr_multiplier.milestones = [240_000]
lr_multiplier.length = 320_000
# Neither has a warm-up. The one of the other configs stays: there is no norm here to tame the first
# steps, and 500 of 320k change nothing else.
optimizer.lr = 0.003
optimizer.weight_decay = 5e-4  # section 3.1.3
# Biases learn twice as fast (py-faster-rcnn).
optimizer.params.base_lr = "${..lr}"
optimizer.params.bias_lr_factor = 2.0

# Shorter side 600 (section 3.3), longer side at most 1000 (py-faster-rcnn).
_resize = L(T.ResizeShortestEdge)(short_edge_length=600, max_size=1000)
dataloader.train.mapper.augmentations[0] = _resize
dataloader.test.mapper.augmentations[0] = _resize
dataloader.train.mapper.image_format = "RGB"
dataloader.train.total_batch_size = 8
