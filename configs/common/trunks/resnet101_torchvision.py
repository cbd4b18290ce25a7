"""ResNet-101 in the "pytorch" style: torchvision's weights, stride in the 3x3, RGB."""

from torchvision.models import ResNet101_Weights

from ..models.resnet50_torchvision_fpn import backbone, pixel_mean, pixel_std

backbone.bottom_up.stages.depth = 101
trunk = dict(
    bottom_up=backbone.bottom_up,
    pixel_mean=pixel_mean,
    pixel_std=pixel_std,
    image_format="RGB",
    # The first of two recipes, as the weights of the papers' time.
    init_checkpoint=ResNet101_Weights.IMAGENET1K_V1.url,
)
