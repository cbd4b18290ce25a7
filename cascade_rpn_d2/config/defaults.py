"""The yacs keys of this project; the defaults are the methods beneath a detector, as released."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_cascade_rpn_config(cfg: CfgNode) -> None:
    """Add ``MODEL.CASCADE_RPN``, ``GUIDED_ANCHOR``, ``ROI_GRID_HEAD`` and ``CPM`` to a Detectron2
    config, and what its proposal generators and cascaded ROI heads lack.

    ``configs/yacs/cascade_rpn.yaml`` and ``guided_anchor_rpn.yaml`` turn a stock Faster or Mask
    R-CNN with FPN into one with Cascade RPN or GA-RPN. What Detectron2 has a key for already is
    read from there:
    ``MODEL.RPN.IN_FEATURES``, ``BATCH_SIZE_PER_IMAGE``, ``POSITIVE_FRACTION``, ``NMS_THRESH``,
    ``PRE_NMS_TOPK_*``, ``POST_NMS_TOPK_*``, ``SMOOTH_L1_BETA``, and ``MODEL.ANCHOR_GENERATOR``.

    ``configs/yacs/guided_anchor_retinanet.yaml`` turns a stock RetinaNet into GA-RetinaNet, which
    reads ``MODEL.RETINANET`` and, of ``MODEL.GUIDED_ANCHOR``, how anchors are guided and features
    adapted to them; of ``MODEL.RPN``, how the shapes' samples are drawn.

    ``MODEL.ROI_HEADS.NAME = "ResamplingCascadeROIHeads"`` reads the keys of Detectron2's
    ``"CascadeROIHeads"`` and ``MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS``.

    ``MODEL.ROI_HEADS.NAME = "GridROIHeads"`` reads ``MODEL.ROI_GRID_HEAD``, ``"CPMROIHeads"`` also
    ``MODEL.CPM``; ``configs/yacs/grid_rcnn.yaml`` and ``cpm_rcnn.yaml`` turn a stock Faster or Mask
    R-CNN with FPN into Grid and CPM R-CNN. ``"ScoredCascadeROIHeads"`` reads the keys of
    ``"ResamplingCascadeROIHeads"`` and ``MODEL.CPM``; ``configs/yacs/scored_cascade_rcnn.yaml``
    sets them.

    ``MODEL.PROPOSAL_GENERATOR.NAME = "StandardRPN"`` reads the keys of Detectron2's ``"RPN"``, of
    which ``MODEL.RPN.BOUNDARY_THRESH`` is 0 for the papers' baselines, and ``MIN_POSITIVE_IOU``,
    ``CLAIMS`` and ``MATCH_ACROSS_BORDER`` beside them.

    ``MODEL.BACKBONE.NAME = "build_vgg16_backbone"`` reads ``MODEL.VGG.OUT_FEATURES`` and
    ``MODEL.BACKBONE.FREEZE_AT``; ``MODEL.ROI_BOX_HEAD.NAME = "VGGBoxHead"`` reads ``NUM_FC``,
    ``FC_DIM`` and ``DROPOUT`` beside it. ``configs/yacs/faster_rcnn_vgg16.yaml`` sets them all.
    ``"build_zf_backbone"`` and ``MODEL.ZF.OUT_FEATURES`` likewise: ``faster_rcnn_zf.yaml``.

    Args:
        cfg: the config to extend, in place.
    """
    cfg.MODEL.CASCADE_RPN = _cascade_rpn()
    cfg.MODEL.GUIDED_ANCHOR = _guided_anchor()
    cfg.MODEL.ROI_GRID_HEAD = _roi_grid_head()
    cfg.MODEL.CPM = _cpm()
    cfg.register_deprecated_key("MODEL.ROI_GRID_HEAD.MAX_ROIS_PER_BATCH")  # of a GPU's images
    # Whether cells that exist for a larger image of the batch alone propose, as in mmdet: in
    # the proposal generators of this project and GuidedAnchorRetinaNet. Detectron2's RPN has no
    # choice.
    cfg.MODEL.PROPOSAL_GENERATOR.PROPOSE_IN_PADDING = False
    # Of StandardRPN: least width and height of a proposal in pixels of the image before it was
    # resized; it takes MODEL.META_ARCHITECTURE "OriginalSizeRCNN" or "OriginalSizeProposalNetwork".
    cfg.MODEL.PROPOSAL_GENERATOR.MIN_ORIGINAL_SIZE = 0.0
    # Of StandardRPN, which reads MODEL.RPN: see there, and IoUAssigner.
    cfg.MODEL.RPN.MIN_POSITIVE_IOU = 0.3
    cfg.MODEL.RPN.CLAIMS = "match"
    cfg.MODEL.RPN.MATCH_ACROSS_BORDER = False
    # Of ResamplingCascadeROIHeads and ScoredCascadeROIHeads: weight of the losses of every stage.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 0.5, 0.25]
    cfg.MODEL.VGG = CfgNode()
    cfg.MODEL.VGG.OUT_FEATURES = ["conv5"]  # some of "conv1" to "conv5"
    cfg.MODEL.ZF = CfgNode()
    cfg.MODEL.ZF.OUT_FEATURES = ["conv5"]  # some of "conv1" to "conv5"
    # Of VGGBoxHead: share of the values that are dropped while training.
    cfg.MODEL.ROI_BOX_HEAD.DROPOUT = 0.5


def _cascade_rpn() -> CfgNode:
    node = CfgNode()

    # One value a stage; the number of values is the number of stages.
    # "none", "dilated", "center" (centre of the box only), "adaptive" (centre and shape), "learned"
    node.ALIGNMENT = ["dilated", "adaptive"]
    # "region" (anchor-free) or "iou" (anchor-based)
    node.ASSIGNMENT = ["region", "iou"]
    # IoU of positives, of negatives, and the least for an object to claim its best box; "iou" only
    node.IOU_THRESHOLDS = [[0.7, 0.7, 0.3], [0.7, 0.7, 0.3]]
    # "all" boxes or a "random" choice of MODEL.RPN.BATCH_SIZE_PER_IMAGE
    node.SAMPLING = ["all", "random"]
    # Standard deviations of (dx, dy, dw, dh): the regression statistics of the stage
    node.BBOX_REG_STDS = [[0.1, 0.1, 0.5, 0.5], [0.05, 0.05, 0.1, 0.1]]
    # Whether the stage predicts objectness; the last one must
    node.CLASSIFY = [False, True]
    # Whether the stage hands its aligned features on, rather than the features it was given
    node.BRIDGE = [True, False]

    # One value for all stages.
    node.DILATION = 3  # of a "dilated" alignment
    node.BBOX_REG_LOSS_TYPE = "iou"  # "iou" (linear), "iou_log" or "smooth_l1"
    node.LOC_LOSS_WEIGHT = 7.0  # 10 for proposals alone; a detector takes 0.7 of it
    node.CLS_LOSS_WEIGHT = 0.7  # 1 for proposals alone
    node.NMS_ACROSS_LEVELS = False

    node.REGION = CfgNode()
    node.REGION.CENTER_RATIO = 0.2  # of an object's side: its centre region
    node.REGION.IGNORE_RATIO = 0.5  # of an object's side: its ignore region
    node.REGION.ANCHOR_SCALE = 8.0  # side of the anchors in strides
    node.REGION.ADJACENT = "all"  # what adjacent levels ignore: "all", "negatives" or "none"
    node.REGION.LEGACY_EDGES = False  # rounding of the authors' code; goes with anchor offset 0.5
    return node


def _guided_anchor() -> CfgNode:
    node = CfgNode()

    # Of GA-RPN's proposals: regression statistics, IoU thresholds as above, smooth L1.
    node.BBOX_REG_STDS = [0.07, 0.07, 0.11, 0.11]
    node.IOU_THRESHOLDS = [0.7, 0.3, 0.3]
    node.SMOOTH_L1_BETA = 1.0
    # How features follow the anchors: "shape", "learned" (whatever the shape), "plain" or "none"
    node.ADAPTION = "shape"
    node.OFFSET_GROUPS = 4

    node.LOCATION = CfgNode()
    node.LOCATION.ENABLED = True
    node.LOCATION.THRESHOLD = 0.01  # least probability of a cell with anchors at test
    node.LOCATION.CENTER_RATIO = 0.2  # sigma 1
    node.LOCATION.IGNORE_RATIO = 0.5  # sigma 2
    node.LOCATION.ANCHOR_SCALE = 8.0  # side of the squares in strides
    node.LOCATION.ADJACENT = "negatives"
    node.LOCATION.OVERLAP = "center"
    node.LOCATION.KEEP_BORDER = True
    node.LOCATION.LEGACY_EDGES = False  # as above
    node.LOCATION.NEGATIVE_WEIGHT = 0.1
    node.LOCATION.LOSS_WEIGHT = 1.0

    node.SHAPE = CfgNode()
    node.SHAPE.PREDICTS = "size"  # or "box", the centre too, or "none"
    node.SHAPE.STDS = [0.07, 0.07, 0.14, 0.14]
    node.SHAPE.MAX_SIDE_RATIO = 1e6
    node.SHAPE.IOU_THRESHOLDS = [0.7, 0.3, 0.3]
    # The shapes that vIoU tries, relative to the square.
    node.SHAPE.OCTAVE_SCALES = [1.0, 2 ** (1 / 3), 2 ** (2 / 3)]
    node.SHAPE.ASPECT_RATIOS = [0.5, 1.0, 2.0]
    node.SHAPE.BOUNDED_IOU_BETA = 0.2
    node.SHAPE.LOSS_WEIGHT = 1.0
    return node


def _roi_grid_head() -> CfgNode:
    node = CfgNode()

    # One value a stage; the number of values is the number of stages.
    node.MAPPING_RATIOS = [2.0]
    node.IOUS = [0.5]  # least IoU of the boxes that a stage learns from, the first one's unread
    node.LOSS_WEIGHTS = [15.0]

    # One value for all stages.
    node.POOLER_RESOLUTION = 14
    node.POOLER_SAMPLING_RATIO = 0
    node.POOLER_TYPE = "ROIAlignV2"
    node.GRID_SIZE = 3  # points a side
    node.NUM_CONVS = 8
    node.POINT_CHANNELS = 64
    node.FUSION = True  # False in CPM R-CNN
    node.INIT = "plus"  # or "mmdet" or "pytorch"
    node.RADIUS = 1  # of the peaks in cells
    node.MIN_REGION_SIZE = 3.0  # pixels
    node.BY_PROBABILITY = False  # how maps are read; True for weights that others have published

    # How many boxes of an image train the first stage, -1 for no limit.
    node.MAX_ROIS_PER_IMAGE = 96
    node.JITTER = 0.15  # 0 in CPM R-CNN
    node.CLIP_BETWEEN_STAGES = False
    node.TEST_STAGE = 0  # how many stages are run at test, 0 for all
    return node


def _cpm() -> CfgNode:
    node = CfgNode()
    node.SCORE_GAMMA = 0.8

    node.ISM = CfgNode()
    node.ISM.ENABLED = True
    node.ISM.TARGET = "input"  # IoU of the boxes in front of the last stage, or of its "output"
    node.ISM.FROM_OBJECTS = True  # whether it learns from objects among these boxes too
    node.ISM.LOSS = "l2"  # or "l1" or "smooth_l1"
    node.ISM.SMOOTH_L1_BETA = 1 / 9
    node.ISM.LOSS_WEIGHT = 1.0
    node.ISM.NUM_FC = 2
    node.ISM.FC_DIM = 1024

    node.RSM = CfgNode()
    node.RSM.ENABLED = True
    node.RSM.POSITIVES = "input"  # boxes in front of the last stage, or its "output"
    node.RSM.LOSS_WEIGHT = 1.0
    return node
