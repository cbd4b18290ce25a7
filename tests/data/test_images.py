"""Files, folders, patterns and videos as one stream of frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cascade_rpn_d2.data import ImageReader
from cascade_rpn_d2.data.images import (
    Source,
    count_frames,
    find_sources,
    frame_rate,
    read_frames,
    read_video,
)


@pytest.fixture
def picture():
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :16] = (255, 0, 0)  # blue on the left, as BGR
    return image


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def write_video(path, values, size=(32, 24), rate=10.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, size)
    assert writer.isOpened()
    for value in values:
        writer.write(np.full((size[1], size[0], 3), value, np.uint8))
    writer.release()
    return path


def test_files_folders_and_patterns_are_found_once_in_order(tmp_path, picture):
    for name in ("b.png", "a.JPG", "sub/c.png", "sub/a.JPG"):
        write(tmp_path / "in" / name, picture)
    (tmp_path / "in/notes.txt").write_text("no image")
    (tmp_path / "in/.hidden.png").touch()
    folder = find_sources([tmp_path / "in"])
    names = [source.name.as_posix() for source in folder]
    assert names == ["a.JPG", "b.png", "sub/a.JPG", "sub/c.png"]
    pattern = find_sources([tmp_path / "in/b.png", str(tmp_path / "in/*.png"), tmp_path / "in"])
    assert [s.path.name for s in pattern] == ["b.png", "a.JPG", "a.JPG", "c.png"]
    deep = find_sources([str(tmp_path / "in/**/*.png")])
    assert [s.name.as_posix() for s in deep] == ["b.png", "c.png"]


def test_results_of_an_earlier_run_are_not_read(tmp_path, picture):
    write(tmp_path / "a.png", picture)
    write(tmp_path / "out/a.png", picture)
    assert len(find_sources([tmp_path])) == 2
    assert [s.name for s in find_sources([tmp_path], exclude=tmp_path / "out")] == [Path("a.png")]
    # A folder around the input, or the input itself, hides nothing.
    assert len(find_sources([tmp_path / "out"], exclude=tmp_path)) == 1
    assert len(find_sources([tmp_path / "out"], exclude=tmp_path / "out")) == 1


def test_a_file_name_with_brackets_is_no_pattern(tmp_path, picture):
    write(tmp_path / "a[1].png", picture)
    assert len(find_sources([tmp_path / "a[1].png"])) == 1


@pytest.mark.parametrize("missing", ["absent.png", "*.png", "empty"])
def test_an_input_without_files_is_named(tmp_path, missing):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no image or video at"):
        find_sources([tmp_path / missing])


def test_the_frames_of_a_video_come_in_order(tmp_path):
    path = write_video(tmp_path / "v.avi", [0, 60, 120, 180])
    means = [frame.mean() for frame in read_video(path)]
    np.testing.assert_allclose(means, [0, 60, 120, 180], atol=4)
    source = Source(path, Path("v.avi"))
    assert source.is_video and count_frames(source) == 4 and frame_rate(source) == 10.0


def test_what_cannot_be_read_is_reported_and_the_rest_is_done(tmp_path, picture):
    write(tmp_path / "a.png", picture)
    (tmp_path / "b.png").write_text("no image")
    (tmp_path / "c.mp4").write_text("no video")
    write_video(tmp_path / "d.avi", [0, 0])
    reported = []
    sources = find_sources([tmp_path])
    frames = list(read_frames(sources, lambda source, error: reported.append((source, error))))
    assert [(f.source.name.name, f.index) for f in frames] == [
        ("a.png", 0),
        ("d.avi", 0),
        ("d.avi", 1),
    ]
    assert [source.name.name for source, _ in reported] == ["b.png", "c.mp4"]
    assert all(source.path.name in str(error) for source, error in reported)
    assert count_frames(sources[2]) == 1 and frame_rate(sources[2]) == 25.0


def test_images_and_videos_of_too_many_pixels_are_reported(tmp_path, picture):
    write(tmp_path / "a.png", picture)
    write(tmp_path / "b.png", picture[:16])
    write_video(tmp_path / "c.avi", [0, 0])
    reported = []
    frames = read_frames(
        find_sources([tmp_path]),
        lambda source, error: reported.append(str(error)),
        ImageReader(max_pixels=512),
    )
    assert [frame.source.name.name for frame in frames] == ["b.png"]
    assert len(reported) == 2
    for message in reported:
        assert "has 32 x 24 pixels, more than the 512 that are read" in message
        assert message.endswith("or give --max-pixels 768.")
