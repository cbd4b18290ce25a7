"""Faster R-CNN on the fast ZF net: that of VGG-16 with another backbone, and RoIs of 6x6 cells.

Numbers are from models/pascal_voc/ZF of py-faster-rcnn.
"""

from .faster_rcnn_vgg16 import model
from .zf import backbone, pixel_mean, pixel_std

model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std

_heads = model.roi_heads
_heads.box_pooler.output_size = 6
_heads.box_head.input_shape.height = 6
_heads.box_head.input_shape.width = 6
# Dropout of a half, as for VGG-16. The original scales features at test, ours while training: the
# same net, if a file of its weights has those behind fc6 and fc7 halved.
