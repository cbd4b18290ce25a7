"""VGG-16 as the original Faster R-CNN has it: one map of stride 16, blocks 1 and 2 frozen; RGB."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import VGG16

backbone = L(VGG16)(
    widths=[64, 128, 256, 512, 512],
    out_features=["conv5"],
    freeze_at=2,
)

# RGB, 0 to 255, as torchvision's IMAGENET1K_V1 weights take it. The paper starts from the released
# VGG-16, whose input is BGR less its mean.
pixel_mean = [123.675, 116.28, 103.53]
pixel_std = [58.395, 57.12, 57.375]
