"""The comparison of the demo, on a few tiny pictures and few iterations."""

from __future__ import annotations

import json

import cv2
import pytest
import torch

from cascade_rpn_d2.engine import setup_config
from cascade_rpn_d2.engine.comparison import (
    comparison_table,
    load_trained,
    train_and_compare,
)


def test_trains_measures_and_draws(tiny_data, tmp_path):
    configs = {
        title: setup_config(
            f"demo/{name}.py",
            ["train.max_iter=2", "dataloader.train.total_batch_size=2"],
            train_data=tiny_data,
            test_data=tiny_data,
            output_dir=str(tmp_path / name),
            device="cpu",
        )
        for title, name in {"RPN": "rpn", "Cascade RPN": "cascade_rpn"}.items()
    }
    picture = tmp_path / "pictures" / "proposals.png"
    table = train_and_compare(configs, picture, num_images=2)

    # The table holds what the two runs measured, and nothing else.
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert [row[0] for row in rows[2:]] == list(configs)
    for row, name in zip(rows[2:], ("rpn", "cascade_rpn"), strict=True):
        measured = json.loads((tmp_path / name / "evaluation_final.json").read_text())
        for metric, value in zip(rows[0][1:], row[1:], strict=True):
            expected = measured["box_proposals"][metric]  # null: no objects of that size
            expected = float("nan") if expected is None else expected
            assert float(value) == pytest.approx(expected, abs=0.051, nan_ok=True)
    drawn = cv2.imread(str(picture))
    assert drawn.shape[1] > 1000 and drawn.std() > 10

    saved = torch.load(tmp_path / "rpn" / "model_final.pth", weights_only=True)["model"]
    model = load_trained(configs["RPN"])
    assert not model.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, saved[name])


def test_the_table_has_a_row_per_name():
    metrics = {"AR@100": 12.34, "AR@300": 20.0}
    table = comparison_table({"RPN": {"box_proposals": metrics}})
    assert "| RPN |     12.3 |     20.0 |" in table
