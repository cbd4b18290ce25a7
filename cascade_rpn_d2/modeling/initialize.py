"""How the layers of the released proposal heads start."""

from __future__ import annotations

import math

from torch import nn


def initialize(conv: nn.Conv2d, prior: float = 0.5) -> None:
    """Weights from a normal distribution of standard deviation 0.01, in place.

    Args:
        conv: the layer.
        prior: probability whose logit the biases are, as in RetinaNet (section 4.1): 0 for 0.5.

    Raises:
        ValueError: if that is not between 0 and 1.
    """
    if not 0 < prior < 1:
        raise ValueError(
            f"The probability that a layer starts with must be between 0 and 1, not {prior}."
        )
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.constant_(conv.bias, math.log(prior / (1 - prior)))
