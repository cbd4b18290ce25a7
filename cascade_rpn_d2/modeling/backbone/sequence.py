"""What backbones have in common whose layers follow each other, without a pyramid."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.modeling.backbone import Backbone


class SequentialBackbone(Backbone):
    """A backbone of parts ``conv1``, ``conv2``, ... in a row, some of whose outputs are returned.

    Parts after the last that is returned are not to be built: one that no loss reaches would stall
    distributed training.

    Args:
        widths: channels of the parts.
        strides: of their outputs.
        out_features: parts whose outputs are returned.
        freeze_at: this many parts are not trained, the first ones.

    Attributes:
        built: names of the parts up to the last that is returned.

    Raises:
        ValueError: if there is not a width for each part, ``out_features`` names no part or
            something else, or ``freeze_at`` is no number of parts.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        out_features: Sequence[str],
        freeze_at: int,
    ):
        super().__init__()
        names = [f"conv{number}" for number in range(1, len(strides) + 1)]
        unknown = [name for name in out_features if name not in names]
        if unknown or not out_features:
            raise ValueError(f"out_features are some of {names}, not {list(out_features)}.")
        if len(widths) != len(names):
            raise ValueError(f"widths are one for each of {names}, not {list(widths)}.")
        if not 0 <= freeze_at <= len(names):
            raise ValueError(
                f"freeze_at is a number of {names}, 0 to {len(names)}, not {freeze_at}."
            )
        # In their order, as the FPN expects them.
        self._out_features = [name for name in names if name in out_features]
        self._out_feature_channels = dict(zip(names, widths, strict=True))
        self._out_feature_strides = dict(zip(names, strides, strict=True))
        self.built = names[: names.index(self._out_features[-1]) + 1]

    @property
    def size_divisibility(self) -> int:
        """The coarsest stride: the map of images padded to a multiple of it leaves out no pixel.

        Pooling rounds down here, as in torchvision; in Caffe it rounds up.
        """
        return self._out_feature_strides[self._out_features[-1]]
