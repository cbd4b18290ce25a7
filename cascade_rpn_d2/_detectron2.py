"""Detectron2 is on no package index under its own name, so no installer brings it along."""

from importlib.util import find_spec

spec = find_spec("detectron2")
if spec is None or spec.origin is None:  # a folder of that name, such as a clone, is none
    raise ModuleNotFoundError(
        "cascade_rpn_d2 needs Detectron2, which is not installed: run `cascade-rpn "
        "install-detectron2`, which takes it from GitHub, or from the package index where GitHub "
        "is out of reach.",
        name="detectron2",
    )
