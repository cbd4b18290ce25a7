"""From the recipe of mmdet >= 2.8, as far as our configs have it, to that of the papers' authors.

The authors' code (mmdet 1.x) counts pixels inclusively (a box is ``x2 - x1 + 1`` wide) and centres
anchors half a stride inside their cell. In continuous coordinates, which Detectron2 uses, this is
the same method with an anchor offset of 0.5.
"""

from __future__ import annotations

from omegaconf import DictConfig

from .lazy import is_of

# BGR, as the authors' "caffe" weights take it.
PIXEL_MEAN = (102.9801, 115.9465, 122.7717)


def use_authors_recipe(model: DictConfig, lr_multiplier: DictConfig) -> None:
    """Change an experiment in place to what the papers' numbers and the weights of 2019 are of.

    * anchors, and the adaptive convolution's centres, half a stride inside their cell;
    * the regions of objects with the edges of Cascade RPN's code, which fit these anchors: those of
      its anchor-free metric, with nothing ignored on adjacent levels, which its code means to do
      and does not, and those that teach where guided anchors are. For these Guided Anchoring's
      code takes the box in strides, as if anchors were on the corners of cells: what learns an
      object is half a cell beside it, 3.5 px at a stride of 8. That is not repeated;
    * RoIAlign without the shift of half a pixel, two samples a bin and direction, of boxes and of
      grid points;
    * proposals kept while training as at test, by generators with stages;
    * the authors' pixel mean, for models without a deviation of their own;
    * warm-up from a third of the learning rate, where it is from a thousandth; Grid R-CNN and CPM
      R-CNN have one of their own.

    Losses, samplers, thresholds and epochs stay: in the configs they are the authors' already, but
    for what the projects' pages list.

    Args:
        model: a proposal network or a detector of this zoo.
        lr_multiplier: its schedule.
    """
    generator = model.get("proposal_generator")
    for owner in (generator, model):  # a detector in one stage has anchors of its own
        if owner is None or owner.get("anchor_generator") is None:
            continue
        owner.anchor_generator.offset = 0.5
        if owner.get("location_loss") is not None:
            owner.location_loss.assigner.legacy_edges = True
    if generator is not None:
        for stage in generator.get("stages") or ():
            if is_of(stage.align, "AdaptiveAlignment"):
                stage.align.center_offset = 0.5
            if is_of(stage.assigner, "RegionAssigner"):
                stage.assigner.adjacent = "none"
                stage.assigner.legacy_edges = True
        if generator.get("stages"):
            generator.pre_nms_topk = [generator.pre_nms_topk[1]] * 2
            generator.post_nms_topk = [generator.post_nms_topk[1]] * 2
    if model.get("roi_heads") is not None:
        for name in ("box_pooler", "grid_pooler"):
            pooler = model.roi_heads.get(name)
            if pooler is not None and pooler.pooler_type == "ROIAlignV2":
                pooler.pooler_type = "ROIAlign"
                pooler.sampling_ratio = 2
    if all(deviation == 1.0 for deviation in model.pixel_std):
        model.pixel_mean = list(PIXEL_MEAN)
    if lr_multiplier.warmup_factor == 0.001:
        lr_multiplier.warmup_factor = 1.0 / 3
