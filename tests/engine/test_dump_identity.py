"""What makes an unfinished dump another one, and what does not."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from detectron2.layers import ShapeSpec
from omegaconf import OmegaConf
from torch import nn

from cascade_rpn_d2.engine.dump_identity import digest, plain, require_identity, run_identity

RECORDS = [{"image_id": i, "width": 6, "height": 4, "file_name": f"{i}.png"} for i in (3, 1)]


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "model.pth"
    file.write_bytes(b"weights")
    return str(file)


def test_values_of_a_config_become_json():
    config = L(nn.Conv2d)(
        in_channels=3,
        norm=functools.partial(nn.BatchNorm2d, eps=0.1),
        shape=L(ShapeSpec)(channels=4),
        sizes=[[1.5, None], [True, "x"]],
    )
    value = plain(OmegaConf.to_container(config))
    assert json.loads(json.dumps(value)) == value
    assert value["_target_"] == "torch.nn.Conv2d" and value["sizes"] == [[1.5, None], [True, "x"]]
    assert value["norm"] == ["torch.nn.BatchNorm2d", [], {"eps": 0.1}]
    assert plain(ShapeSpec(channels=4)) == plain(ShapeSpec(channels=4)) != plain(ShapeSpec())
    assert plain(object) == "builtins.object"


def test_the_config_of_a_run_is_that_of_the_experiment(tiny_config, tmp_path, weights):
    config = tiny_config("out")
    LazyConfig.save(config, str(tmp_path / "config.yaml"))
    loaded = LazyConfig.load(str(tmp_path / "config.yaml"))
    assert run_identity(config, weights, RECORDS, 5, 2) == run_identity(
        loaded, weights, RECORDS, 5, 2
    )


def test_what_counts(tiny_config, weights, tmp_path):
    def differing(*overrides, weights=weights, records=RECORDS, topk=5, size=2):
        return {
            key
            for key, value in run_identity(
                tiny_config("out", *overrides), weights, records, topk, size
            ).items()
            if value != base[key]
        }

    base = {}
    base = run_identity(tiny_config("out"), weights, RECORDS, 5, 2)
    assert differing() == set()
    assert differing("train.max_iter=9", "optimizer.lr=1") == set()
    assert differing("model.proposal_generator.nms_thresh=0.5") == {"config_sha256"}
    assert differing("dataloader.test.mapper.image_format=RGB") == {"config_sha256"}
    reading = "+dataloader.test.mapper.{}"
    assert differing(reading.format("max_pixels=9999"), reading.format("depth_range=null")) == set()
    assert differing(reading.format("depth_range=[0,9]")) == {"config_sha256"}
    moved = [{**r, "file_name": f"elsewhere/{r['file_name']}"} for r in RECORDS]
    # Frames of two videos often have the same names, ids and sizes.
    assert differing(records=moved) == {"images_sha256"}
    assert differing(records=RECORDS[::-1]) == {"images_sha256"}
    assert differing(topk=None, size=3) == {"topk", "chunk_size"}
    (other := tmp_path / "other.pth").write_bytes(b"Weights")
    assert differing(weights=str(other)) == {"weights_sha256"}
    with pytest.raises(OSError, match=r"weights .*absent\.pth cannot be read"):
        differing(weights=str(tmp_path / "absent.pth"))


IDENTITY = {
    "weights_sha256": "a",
    "config_sha256": "b",
    "images_sha256": "c",
    "topk": None,
    "chunk_size": 2,
}


def test_parts_of_another_run_are_not_gone_on_with(tmp_path):
    require_identity(tmp_path, IDENTITY)
    other = {**IDENTITY, "weights_sha256": "z", "topk": 3}
    require_identity(tmp_path, other)  # nothing was done yet
    require_identity(tmp_path, IDENTITY)
    (tmp_path / "000000.npz").touch()
    require_identity(tmp_path, IDENTITY)
    with pytest.raises(
        ValueError, match="another weights and top-k: .*remove the folder"
    ) as caught:
        require_identity(tmp_path, other)
    assert str(tmp_path) in str(caught.value)
    for content in ("{}", "not json"):
        (tmp_path / "identity.json").write_text(content)
        with pytest.raises(ValueError, match="another program"):
            require_identity(tmp_path, IDENTITY)
    assert digest(IDENTITY) == digest(dict(reversed(IDENTITY.items())))


def test_values_of_a_config_in_plain_words():
    assert plain(torch.nn.ReLU()) == plain(torch.nn.ReLU()), "an object that can be called"
    assert plain(torch.ones(2)) == plain(torch.ones(2)) != plain(torch.zeros(2))
    assert plain(np.float64(2)) != plain(np.float64(3))
    assert plain(torch.float32) == plain(torch.float32)
    with pytest.raises(ValueError, match="object of object, .* write it as a LazyCall"):
        plain(object())
