"""Which classes and functions a config from elsewhere may name.

Whatever a config names is imported and called when its model, data or evaluator is built, and to
look a name up runs the module it is in. A config in YAML is data that people hand on with weights:
its names are compared with this list, as text, before anything is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from detectron2.utils.registry import _convert_target_to_string, locate

from ..files.untrusted import shown

# What no config of the zoo names, but recorded ones do: those of old runs, and of the steps that
# `cascade-rpn train-alternating` makes of a config.
RECORDED_NAMES = frozenset(
    {
        "cascade_rpn_d2.modeling.OriginalSizeProposalNetwork",
        "detectron2.modeling.proposal_generator.RPN",
    }
)

# Full names, no prefixes: what the configs of the zoo name, and nothing else but these. Those of
# this package are public, and stay where they are when files move; those of Detectron2 are as it
# writes them.
NAMES = RECORDED_NAMES | frozenset(
    {
        "cascade_rpn_d2.data.DatasetMapper",
        "cascade_rpn_d2.data.OpenCVResizeShortestEdge",
        "cascade_rpn_d2.data.build_train_loader",
        "cascade_rpn_d2.data.get_detection_dataset_with_proposals",
        "cascade_rpn_d2.engine.step_schedule",
        "cascade_rpn_d2.evaluation.DetectionEvaluator",
        "cascade_rpn_d2.evaluation.ProposalRecallEvaluator",
        "cascade_rpn_d2.layers.FixedStatisticsBatchNorm2d",
        "cascade_rpn_d2.modeling.AdaptiveAlignment",
        "cascade_rpn_d2.modeling.AllSampler",
        "cascade_rpn_d2.modeling.BoundedIoULoss",
        "cascade_rpn_d2.modeling.BoxCoder",
        "cascade_rpn_d2.modeling.BoxPredictor",
        "cascade_rpn_d2.modeling.CPMROIHeads",
        "cascade_rpn_d2.modeling.CascadeRPN",
        "cascade_rpn_d2.modeling.ClassPredictor",
        "cascade_rpn_d2.modeling.ConvAlignment",
        "cascade_rpn_d2.modeling.DeformBottleneckBlock",
        "cascade_rpn_d2.modeling.DenseSampler",
        "cascade_rpn_d2.modeling.FPNWithInputs",
        "cascade_rpn_d2.modeling.FeatureAdaption",
        "cascade_rpn_d2.modeling.GridHead",
        "cascade_rpn_d2.modeling.GridROIHeads",
        "cascade_rpn_d2.modeling.GridStage",
        "cascade_rpn_d2.modeling.GuidedAnchorHead",
        "cascade_rpn_d2.modeling.GuidedAnchorRPN",
        "cascade_rpn_d2.modeling.GuidedAnchorRetinaNet",
        "cascade_rpn_d2.modeling.GuidedAnchorRetinaNetHead",
        "cascade_rpn_d2.modeling.InclusiveAnchorGenerator",
        "cascade_rpn_d2.modeling.InclusiveBox2BoxTransform",
        "cascade_rpn_d2.modeling.InclusiveBoxCoder",
        "cascade_rpn_d2.modeling.InclusiveClassPredictor",
        "cascade_rpn_d2.modeling.InclusiveRCNN",
        "cascade_rpn_d2.modeling.InclusiveROIPooler",
        "cascade_rpn_d2.modeling.InclusiveRPN",
        "cascade_rpn_d2.modeling.IoUAssigner",
        "cascade_rpn_d2.modeling.IoULoss",
        "cascade_rpn_d2.modeling.IoUScoring",
        "cascade_rpn_d2.modeling.LastLevelP6P7WithoutReLU",
        "cascade_rpn_d2.modeling.LearnedAlignment",
        "cascade_rpn_d2.modeling.LearnedFeatureAdaption",
        "cascade_rpn_d2.modeling.LocationLoss",
        "cascade_rpn_d2.modeling.OriginalSizeRCNN",
        "cascade_rpn_d2.modeling.PlainFeatureAdaption",
        "cascade_rpn_d2.modeling.RandomSampler",
        "cascade_rpn_d2.modeling.Refinement",
        "cascade_rpn_d2.modeling.RegionAssigner",
        "cascade_rpn_d2.modeling.ResamplingCascadeROIHeads",
        "cascade_rpn_d2.modeling.ResamplingScoring",
        "cascade_rpn_d2.modeling.ScoredCascadeROIHeads",
        "cascade_rpn_d2.modeling.SigmoidFocalLoss",
        "cascade_rpn_d2.modeling.SmoothL1Loss",
        "cascade_rpn_d2.modeling.SoftNMSMerge",
        "cascade_rpn_d2.modeling.Stage",
        "cascade_rpn_d2.modeling.StandardRPN",
        "cascade_rpn_d2.modeling.SymmetricBox2BoxTransform",
        "cascade_rpn_d2.modeling.VGG16",
        "cascade_rpn_d2.modeling.VGGBoxHead",
        "cascade_rpn_d2.modeling.VariableIoUAssigner",
        "cascade_rpn_d2.modeling.ZF",
        "detectron2.data.build_detection_test_loader",
        "detectron2.data.get_detection_dataset_dicts",
        "detectron2.data.transforms.RandomFlip",
        "detectron2.data.transforms.ResizeShortestEdge",
        "detectron2.layers.ShapeSpec",
        "detectron2.modeling.FPN",
        "detectron2.modeling.FastRCNNOutputLayers",
        "detectron2.modeling.GeneralizedRCNN",
        "detectron2.modeling.ProposalNetwork",
        "detectron2.modeling.ResNet",
        "detectron2.modeling.ResNet.make_default_stages",
        "detectron2.modeling.ResNet.make_stage",
        "detectron2.modeling.RetinaNet",
        "detectron2.modeling.StandardROIHeads",
        "detectron2.modeling.anchor_generator.DefaultAnchorGenerator",
        "detectron2.modeling.backbone.BasicStem",
        "detectron2.modeling.backbone.fpn.LastLevelMaxPool",
        "detectron2.modeling.backbone.fpn.LastLevelP6P7",
        "detectron2.modeling.backbone.resnet.BasicBlock",
        "detectron2.modeling.backbone.resnet.BottleneckBlock",
        "detectron2.modeling.box_regression.Box2BoxTransform",
        "detectron2.modeling.matcher.Matcher",
        "detectron2.modeling.meta_arch.retinanet.RetinaNetHead",
        "detectron2.modeling.poolers.ROIPooler",
        "detectron2.modeling.proposal_generator.StandardRPNHead",
        "detectron2.modeling.roi_heads.FastRCNNConvFCHead",
        "detectron2.solver.get_default_optimizer_params",
        "torch.optim.AdamW",
        "torch.optim.SGD",
    }
)

# Names that recorded configs have -> what they are called now. Text for text: a class that moves or
# gets another name gets a line here, and the configs of old runs go on loading.
OLD_NAMES = {
    "cascade_rpn_d2.engine.schedule.step_schedule": "cascade_rpn_d2.engine.step_schedule",
    "cascade_rpn_d2.layers.batch_norm.FixedStatisticsBatchNorm2d": (
        "cascade_rpn_d2.layers.FixedStatisticsBatchNorm2d"
    ),
    "cascade_rpn_d2.modeling.backbone.deform_resnet.DeformBottleneckBlock": (
        "cascade_rpn_d2.modeling.DeformBottleneckBlock"
    ),
}

# Arguments that make a listed name do more than the zoo has it do. Detectron2 unpickles files of
# proposals, and builds whatever a whole yacs config asks for; evaluators replace files wherever
# they are told to write.
_EVALUATORS = (
    "cascade_rpn_d2.evaluation.DetectionEvaluator",
    "cascade_rpn_d2.evaluation.ProposalRecallEvaluator",
)
_REFUSED = {
    "proposal_files": ("detectron2.data.get_detection_dataset_dicts",),
    "output_dir": _EVALUATORS,
    "suffix": _EVALUATORS,
}
_REFUSED_EVERYWHERE = "cfg"

# `${train.max_iter}` and `${..names}` point to another value, which is looked at too. Anything else
# in braces, `${oc.create:...}` for one, calls a function that may make any value.
_POINTER = re.compile(r"\$\{[\w.\[\]-]*\}")


def require_known_names(content: Any, where: str, key: str = "") -> None:
    """Check what a config from elsewhere would import and call, before anything of it is.

    Args:
        content: the config as plain dicts and lists, its interpolations unresolved. Classes and
            functions in it, as opposed to their names, are trusted: whoever put them there has run.
        where: how to call the config in the message.
        key: where in the config ``content`` is, with dots; at its top by default.

    Raises:
        ValueError: if it names what is not in :data:`NAMES`; says which, and how to trust it.
    """
    above, _, last = key.rpartition(".")
    for path, value in _unknown(above, {last: content}) if last else _unknown("", content):
        raise ValueError(refusal(f"{where} has '{shown(value)}' as its {shown(path)}"))


def refusal(what: str) -> str:
    """The sentence about a config that has what no config of the zoo has."""
    return (
        f"{what}, which no config of cascade_rpn_d2's zoo has and which may run any code or "
        "replace any file: give --trust-config (in Python: trust_config=True) if you trust the "
        "config as you would a program."
    )


def renamed(content: Any) -> Any:
    """A config as plain dicts and lists, with today's names in the place of :data:`OLD_NAMES`."""
    if isinstance(content, dict):
        return {
            key: OLD_NAMES.get(value, value)
            if key == "_target_" and isinstance(value, str)
            else renamed(value)
            for key, value in content.items()
        }
    if isinstance(content, list | tuple):
        return [renamed(value) for value in content]
    return content


def public_name(value: Any) -> str:
    """The name by which a config is to record a class or function: the one in :data:`NAMES`.

    Raises:
        ValueError: if it has none by which it could be found, as a lambda.
    """
    qualname = getattr(value, "__qualname__", "<")
    if "<" in qualname:
        raise ValueError(f"{value!r} has no name by which a config could record it.")
    for name in NAMES:
        if name.endswith(f".{qualname}") and find_name(name) is value:
            return name
    return _convert_target_to_string(value)


def find_name(name: str) -> Any:
    """What a name of :data:`NAMES` stands for; None if it is not there."""
    try:
        return locate(name)
    except Exception:  # another version of Detectron2 may have it elsewhere
        return None


def _unknown(path: str, node: Any) -> Iterator[tuple[str, Any]]:
    """What is not known in a config: keys with dots, and what they have."""
    if isinstance(node, dict):
        target = node.get("_target_")
        for key, value in node.items():
            inner = f"{path}.{key}" if path else str(key)
            if key == "_target_" and not callable(value):
                if not isinstance(value, str) or value not in NAMES:
                    yield inner, value
            elif key == _REFUSED_EVERYWHERE and "_target_" in node:
                yield inner, value
            elif value and any(target in (n, find_name(n)) for n in _REFUSED.get(key, ())):
                yield inner, value
            else:
                yield from _unknown(inner, value)
    elif isinstance(node, list | tuple | set):
        for index, value in enumerate(node):
            yield from _unknown(f"{path}.{index}", value)
    elif isinstance(node, str) and "${" in _POINTER.sub("", node):
        yield path, node
