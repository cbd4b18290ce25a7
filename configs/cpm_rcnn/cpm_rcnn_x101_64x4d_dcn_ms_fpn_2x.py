"""CPM R-CNN, X-101-64x4d FPN with deformable convolutions, trained at several scales, 2x: Table 7
(47.4 AP on test-dev).
"""

from .cpm_rcnn_x101_64x4d_dcn_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

# The released config's. The paper has the shorter side between 600 and 800 (section 4.2).
_resize = dataloader.train.mapper.augmentations[0]
_resize.short_edge_length = [600, 640, 672, 704, 736, 768, 800, 864]
_resize.sample_style = "choice"
train.output_dir = "output/cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_ms_fpn_2x"
