"""Detectron2 is on no package index under its own name, so no installer brings it along."""

try:
    import detectron2  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "detectron2":  # it is there, but damaged
        raise
    raise ModuleNotFoundError(
        "cascade_rpn_d2 needs Detectron2, which is not installed: run `cascade-rpn "
        "install-detectron2`, which takes it from GitHub, or from the package index where GitHub "
        "is out of reach.",
        name="detectron2",
    ) from None
