"""The fast ZF net as Faster R-CNN has it: 256 channels, stride 16, all layers trained; BGR."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import ZF

backbone = L(ZF)(
    widths=[96, 256, 384, 384, 256],
    out_features=["conv5"],
    freeze_at=0,  # section 3.1.3
)

# BGR less its mean, not scaled, as py-faster-rcnn feeds all its nets and as the norms of this one
# expect it.
pixel_mean = [102.9801, 115.9465, 122.7717]
pixel_std = [1.0, 1.0, 1.0]
