"""Test-time augmentation (`cascade-rpn eval --tta`) of experiments without a `tta` of their
own: what CPM R-CNN's authors test X-101-64x4d-DCN with.

The view of the plain evaluation, 800/1333 unless the test mapper says otherwise, comes first.
"""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import SoftNMSMerge

tta = dict(
    # Shorter sides of the other views (of the authors' R-50: 600, 1000, 1200), and the limit of
    # their longer sides.
    min_sizes=[400, 500, 600, 700, 900, 1000, 1100, 1200],
    max_size=2000,
    # Whether each view is mirrored too.
    flip=True,
    # Joins the detections of all views: the paper's soft-NMS with the values of the authors' code.
    # Linear decay does not read sigma; it is there for method="gaussian".
    merge=L(SoftNMSMerge)(
        method="linear",
        iou_threshold=0.5,
        sigma=0.5,
        min_score=1e-4,
        score_threshold=0.03,
        topk=100,
    ),
    # Views of one size in a forward pass, at most; a view and its mirror image have the same.
    batch_size=2,
)
