"""Files in, pictures and boxes out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import nn

from cascade_rpn_d2.data.images import read_video
from cascade_rpn_d2.engine.predict_files import best_instances, predict_files
from cascade_rpn_d2.engine.predict_inputs import find_inputs
from cascade_rpn_d2.engine.predictor import BatchPredictor, Categories

GREY = np.full((160, 240, 3), 128, np.uint8)


class Fixed(nn.Module):
    """One box at (10, 5, 40, 25) with the brightness of the image as its score, and a poor one."""

    def forward(self, inputs):
        outputs = []
        for given in inputs:
            score = given["image"].mean() / 255
            boxes = Boxes(torch.tensor([[0.0, 0.0, 8.0, 8.0], [10.0, 5.0, 40.0, 25.0]]))
            outputs.append(
                {
                    "instances": Instances(
                        (given["height"], given["width"]),
                        pred_boxes=boxes,
                        scores=torch.stack((torch.tensor(0.01), score)),
                        pred_classes=torch.tensor([0, 1]),
                    )
                }
            )
        return outputs


@pytest.fixture
def run(tmp_path):
    def predict(*inputs, **options):
        predictor = BatchPredictor(Fixed())
        return predict_files(
            predictor,
            find_inputs(inputs),
            tmp_path / "out",
            json_path=tmp_path / "new/boxes.json",
            **options,
        )

    return predict


def records(tmp_path):
    return json.loads((tmp_path / "new/boxes.json").read_text())


def write(path, image=GREY):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def test_pictures_and_boxes_are_written_and_the_unreadable_is_counted(tmp_path, run, capsys):
    for number in range(5):
        write(tmp_path / f"in/{number}.png")
    (tmp_path / "in/2.png").write_text("no image")
    categories = Categories(("cat", "dog"), (3, 17))
    summary = run(tmp_path / "in", batch_size=2, categories=categories)
    assert (summary.frames, summary.boxes, len(summary.skipped)) == (4, 4, 1)
    assert "2.png" in str(summary.skipped[0]) and "2.png" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "0.png",
        "1.png",
        "3.png",
        "4.png",
    ]
    assert [Path(r["file_name"]).name for r in records(tmp_path)] == [
        "0.png",
        "1.png",
        "3.png",
        "4.png",
    ]
    first = records(tmp_path)[0]
    assert first["image_id"] == 1 and first["category_id"] == 17
    assert first["bbox"] == [10.0, 5.0, 30.0, 20.0]
    assert first["score"] == pytest.approx(128 / 255, abs=1e-5)
    drawn = cv2.imread(str(tmp_path / "out/0.png"))
    assert drawn.shape == GREY.shape
    # Changed along the box, not far from it.
    assert (drawn[:, 10] != 128).any() and (drawn[80:] == 128).all()


def test_equal_names_in_two_folders_do_not_replace_each_other(tmp_path, run):
    write(tmp_path / "a/x.png")
    write(tmp_path / "b/x.png", GREY + 60)
    write(tmp_path / "b/sub/x.png")
    summary = run(tmp_path / "a", tmp_path / "b")
    names = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png")}
    assert summary.frames == 3 and names == {"x.png", "x-2.png", "sub/x.png"}
    assert cv2.imread(str(tmp_path / "out/x-2.png"))[-1, -1, 0] == 188


def test_a_video_becomes_a_video(tmp_path, run):
    source = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(source, cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (240, 160))
    for value in (130, 170, 200, 230, 250):
        writer.write(np.full((160, 240, 3), value, np.uint8))
    writer.release()
    write(tmp_path / "z.png")
    summary = run(source, tmp_path / "z.png", batch_size=3)
    assert summary.frames == 6
    film = cv2.VideoCapture(str(tmp_path / "out/film.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == 12.0
    frames = list(read_video(tmp_path / "out/film.mp4"))
    assert [f.shape for f in frames] == [(160, 240, 3)] * 5
    corner = [int(f[-3:, -3:].mean()) for f in frames]
    np.testing.assert_allclose(corner, [130, 170, 200, 230, 250], atol=8)
    assert [r.get("frame") for r in records(tmp_path)] == [0, 1, 2, 3, 4, None]


def test_a_format_that_cannot_be_written_becomes_png(tmp_path, run):
    from PIL import Image

    Image.fromarray(GREY).save(tmp_path / "a.gif")
    write(tmp_path / "a.png")
    run(tmp_path / "a.gif", tmp_path / "a.png")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a-2.png", "a.png"]


def test_an_input_is_never_replaced(tmp_path, run):
    path = write(tmp_path / "out/a.png")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="would replace an image that is read"):
        run(path)
    assert path.read_bytes() == before


def test_outputs_that_cannot_be_written_are_found_out_first(tmp_path):
    inputs = find_inputs([write(tmp_path / "a.png")])
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Cannot make the output folder .*file"):
        predict_files(BatchPredictor(Fixed()), inputs, tmp_path / "file")
    with pytest.raises(OSError, match="it is a folder, give a file name"):
        predict_files(BatchPredictor(Fixed()), inputs, tmp_path / "out", json_path=tmp_path)
    with pytest.raises(OSError, match="Cannot make the folder of .*file/b.json"):
        predict_files(
            BatchPredictor(Fixed()), inputs, tmp_path / "out", json_path=tmp_path / "file/b.json"
        )


def proposals():
    return Instances(
        (40, 60),
        proposal_boxes=Boxes(torch.tensor([[0.0, 0, 5, 5], [1, 2, 11, 22], [3, 3, 9, 9]])),
        objectness_logits=torch.tensor([-1.0, 2.0, 0.5]),
    )


def test_proposals_are_scored_by_the_sigmoid_of_their_objectness():
    kept = best_instances({"proposals": proposals()}, None, 100)
    torch.testing.assert_close(kept.scores, torch.tensor([2.0, 0.5, -1.0]).sigmoid())
    assert not kept.has("pred_classes")


@pytest.mark.parametrize(
    ("min_score", "limit", "count"), [(None, 2, 2), (0.5, 100, 2), (0.9, 100, 0), (0.0, 1, 1)]
)
def test_the_best_are_kept(min_score, limit, count):
    kept = best_instances({"proposals": proposals()}, min_score, limit)
    assert len(kept) == count and kept.scores.tolist() == sorted(kept.scores.tolist())[::-1]


def test_an_image_without_boxes_is_written_all_the_same(tmp_path, run):
    write(tmp_path / "dark.png", np.zeros_like(GREY))
    summary = run(tmp_path / "dark.png")
    assert (summary.frames, summary.boxes) == (1, 0) and records(tmp_path) == []
    assert not cv2.imread(str(tmp_path / "out/dark.png")).any()
