"""Faster R-CNN, ZF net, trained jointly on COCO in the schedule of VGG-16: 17 images a second in
the paper.

The paper has no ZF net on COCO; on PASCAL VOC 2007 it has 59.9 mAP, trained in four steps: Table 2.
No weights of the net that torch could read have been published, so it starts from random ones,
which the paper's numbers do not. Give your own as --weights: names and form are on the page of
projects/faster_rcnn.
"""

from ..common.models.faster_rcnn_zf import model
from .faster_rcnn_vgg16 import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/faster_rcnn/faster_rcnn_zf"
train.init_checkpoint = ""
dataloader.train.mapper.image_format = "BGR"
