"""Fast R-CNN on 300 precomputed proposals of Cascade RPN, R-18 FPN, 1,000 iterations of 4 images at
256 px: a small dataset on a laptop. Give --train-proposals and --test-proposals.
"""

from ..common.data.coco_proposals import dataloader
from ..common.models.small_fast_rcnn import model
from .rpn_r18_fpn_1k import _resize, lr_multiplier, optimizer, train

train.output_dir = "output/small/cascade_rpn_fast_rcnn_r18_fpn_1k"

dataloader.train.mapper.augmentations[0] = _resize
dataloader.test.mapper.augmentations[0] = _resize
dataloader.train.mapper.image_format = "RGB"
dataloader.train.total_batch_size = 4
dataloader.train.num_workers = 0
dataloader.test.num_workers = 0
