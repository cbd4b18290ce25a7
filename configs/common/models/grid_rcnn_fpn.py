"""Grid R-CNN with FPN, as released with Grid R-CNN Plus and by mmdet.

Numbers are mmdet's; it follows the authors' second code, Grid R-CNN Plus. The paper's first network
(dilated convolutions, whole maps) was never released.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler

from cascade_rpn_d2.modeling import (
    ClassPredictor,
    GridHead,
    GridROIHeads,
    GridStage,
)

from .faster_rcnn_fpn import model
from .resnet50_torchvision_fpn import backbone, pixel_mean, pixel_std

model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std

faster = model.roi_heads
model.roi_heads = L(GridROIHeads)(
    num_classes=80,
    batch_size_per_image=faster.batch_size_per_image,
    positive_fraction=faster.positive_fraction,
    proposal_matcher=faster.proposal_matcher,
    box_in_features=faster.box_in_features,
    box_pooler=faster.box_pooler,
    box_head=faster.box_head,
    box_predictor=L(ClassPredictor)(
        input_shape=L(ShapeSpec)(channels=1024),
        num_classes="${..num_classes}",
        test_score_thresh=0.03,
        test_nms_thresh=0.3,
        test_topk_per_image=100,
    ),
    grid_pooler=L(ROIPooler)(
        output_size=14,
        scales=(1.0 / 4, 1.0 / 8, 1.0 / 16, 1.0 / 32),
        sampling_ratio=0,
        pooler_type="ROIAlignV2",
    ),
    grid_stages=[
        L(GridStage)(
            head=L(GridHead)(
                input_shape=L(ShapeSpec)(channels=256, height=14, width=14),
                grid_size=3,
                num_convs=8,
                point_channels=64,
                fusion=True,
                init="mmdet",
            ),
            mapping_ratio=2.0,
            loss_weight=15.0,
            by_probability=True,
        )
    ],
    # Both codes have 192 of a GPU, to which both give two images.
    max_grid_rois_per_image=96,
    jitter=0.15,
    test_stage=None,
)
