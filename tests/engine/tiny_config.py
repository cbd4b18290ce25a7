"""A training config of the smallest RPN there is; its data are given on the command line."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import build_detection_test_loader, get_detection_dataset_dicts
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.modeling.backbone.resnet import BasicBlock
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch import ProposalNetwork
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data import DatasetMapper, build_train_loader
from cascade_rpn_d2.evaluation import ProposalRecallEvaluator

model = L(ProposalNetwork)(
    backbone=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=8, norm="BN"),
        stages=[
            L(ResNet.make_stage)(
                block_class=BasicBlock,
                num_blocks=1,
                in_channels=8,
                out_channels=16,
                stride_per_block=[2],
                norm="BN",
            )
        ],
        out_features=["res2"],
        freeze_at=0,
    ),
    proposal_generator=L(RPN)(
        in_features=["res2"],
        head=L(StandardRPNHead)(in_channels=16, num_anchors=1),
        anchor_generator=L(DefaultAnchorGenerator)(
            sizes=[[24]], aspect_ratios=[1.0], strides=[8], offset=0.0
        ),
        anchor_matcher=L(Matcher)(
            thresholds=[0.3, 0.7], labels=[0, -1, 1], allow_low_quality_matches=True
        ),
        box2box_transform=L(Box2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
        # Fewer than there are, so that the sampling is random.
        batch_size_per_image=8,
        positive_fraction=0.5,
        pre_nms_topk=(50, 50),
        post_nms_topk=(20, 20),
        nms_thresh=0.7,
    ),
    pixel_mean=[103.5, 116.3, 123.7],
    pixel_std=[58.0, 58.0, 58.0],
)

dataloader = dict(
    train=L(build_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="not_given", filter_empty=True),
        mapper=L(DatasetMapper)(
            is_train=True,
            augmentations=[L(T.RandomFlip)(prob=0.5, horizontal=True)],
            image_format="BGR",
        ),
        total_batch_size=2,
        num_workers=0,
    ),
    test=L(build_detection_test_loader)(
        dataset=L(get_detection_dataset_dicts)(names="not_given", filter_empty=False),
        mapper=L(DatasetMapper)(is_train=False, augmentations=[], image_format="BGR"),
        num_workers=0,
    ),
    evaluator=L(ProposalRecallEvaluator)(dataset_name="${..test.dataset.names}"),
)

optimizer = model_zoo.get_config("common/optim.py").optimizer
lr_multiplier = model_zoo.get_config("common/schedules.py").lr_multiplier_1x
lr_multiplier.warmup_iters = 2
train = model_zoo.get_config("common/train.py").train
train.max_iter = 6
train.seed = 5
train.device = "cpu"
train.log_period = 1
train.eval_period = 0
train.checkpointer.period = 3
