"""What the header says of machine and software."""

from __future__ import annotations

import json

import torch

import cascade_rpn_d2
from cascade_rpn_d2.benchmark import environment
from cascade_rpn_d2.engine.machine import cpu_name


def test_it_names_device_threads_and_versions():
    values = environment(["cpu"], [1, 2])
    assert values["CPU"].startswith(cpu_name()) and cpu_name()
    assert values["threads"] == "1, 2"
    assert values["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert values["cascade_rpn_d2"] == cascade_rpn_d2.__version__
    assert values["detectron2"] and values["torchvision"]
    assert values["torch's CPU capability"] == torch.backends.cpu.get_cpu_capability()
    assert values["kernels"].startswith("cpu: ")
    assert json.loads(json.dumps(values)) == values
