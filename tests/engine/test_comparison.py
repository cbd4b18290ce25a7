"""The comparison of the demo, on a few tiny pictures and few iterations."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from cascade_rpn_d2.engine import setup_config
from cascade_rpn_d2.engine.comparison import (
    choose_images,
    comparison_table,
    load_trained,
    propose_by_stage,
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

    model = load_trained(configs["Cascade RPN"])
    image = np.zeros((64, 64, 3), np.uint8)
    stages = propose_by_stage(model, image)
    assert list(stages) == ["stage 1", "stage 2"]
    final = model([{"image": torch.zeros(3, 64, 64), "height": 64, "width": 64}])[0]["proposals"]
    torch.testing.assert_close(stages["stage 2"], final.proposal_boxes.tensor)
    assert list(propose_by_stage(load_trained(configs["RPN"]), image)) == [""]


def test_the_table_has_a_row_per_name():
    metrics = {"AR@100": 12.34, "AR@300": 20.0}
    table = comparison_table({"RPN": {"box_proposals": metrics}})
    assert "| RPN |     12.3 |     20.0 |" in table


def test_images_are_chosen_evenly_from_those_with_few_objects():
    dataset = [{"annotations": [{}] * number} for number in (0, 3, 40, 5, 1, 2)]
    assert choose_images(dataset, 2) == [dataset[1], dataset[4]]
    assert choose_images(dataset, 9) == [dataset[i] for i in (1, 3, 4, 5)]
    assert choose_images(dataset[:1], 4) == dataset[:1]
