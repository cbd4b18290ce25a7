"""RPN, R-18 FPN, 1,000 iterations of 4 images at 256 px: a small dataset on a laptop."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from torchvision.models import ResNet18_Weights

from ..common.data.coco import dataloader
from ..common.models.small_rpn import model
from ..common.optim import adamw as optimizer
from ..common.schedules import lr_multiplier_1x as lr_multiplier
from ..common.train import train

train.output_dir = "output/small/rpn_r18_fpn_1k"
train.init_checkpoint = ResNet18_Weights.IMAGENET1K_V1.url  # downloaded once
train.max_iter = 1_000
train.seed = 1
train.eval_period = 0
train.checkpointer.period = 250
train.best_checkpoint = None
train.clip_grad_norm = 35.0
lr_multiplier.warmup_iters = 100
optimizer.lr = 5e-4  # the trunk is trained already

_resize = L(T.ResizeShortestEdge)(short_edge_length=256, max_size=448)
dataloader.train.mapper.augmentations[0] = _resize
dataloader.test.mapper.augmentations[0] = _resize
dataloader.train.mapper.image_format = "RGB"
dataloader.train.total_batch_size = 4
dataloader.train.num_workers = 0
dataloader.test.num_workers = 0
