"""SGD as in the papers (learning rate 0.02 for 16 images a batch), and AdamW for small runs."""

import torch
from detectron2.config import LazyCall as L
from detectron2.solver.build import get_default_optimizer_params

optimizer = L(torch.optim.SGD)(
    # `model` is filled in by the training loop. As in the reference implementations, weight decay
    # is the same for all parameters, those of norms included, and biases have no rate of their own;
    # frozen norms have no parameters that it could act on.
    params=L(get_default_optimizer_params)(),
    lr=0.02,
    momentum=0.9,
    weight_decay=1e-4,
)

# Not of the papers: from random weights, or on little data, a short run gets further with it.
adamw = L(torch.optim.AdamW)(params=L(get_default_optimizer_params)(), lr=1e-3, weight_decay=0.05)
