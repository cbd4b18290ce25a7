"""Proposals of stages beside each other, on images of a dataset and on files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade_rpn_d2.data.images import Source, find_sources
from cascade_rpn_d2.engine.generators import propose_by_stage
from cascade_rpn_d2.engine.labelled_images import choose_dataset, load_records, read_record
from cascade_rpn_d2.engine.stage_pictures import (
    draw_records,
    draw_sources,
    stage_columns,
    still_images,
)
from cascade_rpn_d2.visualization.proposals import IOU_COLORS, rank_colors
from tests.engine.tiny_models import tiny_model


@pytest.fixture(scope="module")
def predictors():
    names = {"Cascade RPN": "tiny_cascade_rpn", "RPN": "tiny_rpn"}
    return {title: tiny_model(name).load("cpu", trained=False) for title, name in names.items()}


@pytest.fixture
def records(tiny_data):
    return load_records(choose_dataset(tiny_model("tiny_rpn").config(), tiny_data))


def has(picture, color):
    return bool((picture[:-40] == color).all(axis=2).any())  # above the legend


def test_a_cascade_has_a_column_per_stage(predictors, records):
    images = [read_record(record) for record in records[:2]]
    columns = stage_columns(predictors, images)
    assert list(columns) == ["Cascade RPN stage 1", "Cascade RPN stage 2", "RPN"]
    for number, image in enumerate(images):
        stages = propose_by_stage(predictors["Cascade RPN"], image)
        assert columns["Cascade RPN stage 1"][number].equal(stages["stage 1"])
    assert list(stage_columns({"": predictors["Cascade RPN"]}, images)) == ["Stage 1", "Stage 2"]
    assert list(stage_columns({"": predictors["RPN"]}, images)) == ["Proposals"]


def test_images_of_a_dataset_are_coloured_by_overlap(predictors, records):
    picture = draw_records(predictors, records[:2], width=600)
    assert picture.shape[1] == 600 and any(has(picture, color) for _, color in IOU_COLORS)
    assert not has(picture, rank_colors(20)[0])


def test_files_are_coloured_by_rank(predictors, records):
    sources = find_sources([record["file_name"] for record in records[:2]])
    picture = draw_sources(predictors, sources, top=3, width=600)
    assert has(picture, rank_colors(3)[0])
    assert not any(has(picture, color) for _, color in IOU_COLORS)
    assert not np.array_equal(picture, draw_sources(predictors, sources, top=1, width=600))


def test_videos_are_left_out():
    image, video = (Source(Path(name), Path(name)) for name in ("a.png", "b.mp4"))
    assert still_images([video, image, image], 1) == [image]
    with pytest.raises(ValueError, match="only videos"):
        still_images([video], 3)
