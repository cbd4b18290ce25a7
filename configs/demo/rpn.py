"""The demo's baseline: RPN with a small backbone, trained from scratch on drawn images."""

from ..common.data.demo import dataloader
from ..common.models.demo_rpn import model
from ..common.optim import adamw as optimizer
from ..common.schedules import lr_multiplier_1x as lr_multiplier
from ..common.train import train

train.output_dir = "output/demo/rpn"
train.seed = 1
train.max_iter = 650
train.eval_period = 0
train.checkpointer.period = 325
train.clip_grad_norm = 35.0
train.best_checkpoint = None
lr_multiplier.warmup_iters = 100
