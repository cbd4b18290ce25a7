"""What would end a run hours later is found at its start, in 0.2 ms an image."""

from __future__ import annotations

import json
import logging
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from cascade_rpn_d2.data import ImageReader, image_check
from cascade_rpn_d2.data.image_check import check_images

from .test_image_headers import NOISE, bomb, oriented, save


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(image_check, "_WORTH_KEEPING", 1)
    path = tmp_path / "photos"
    path.mkdir()
    return path


def record(path, width=32, height=24) -> dict:
    return {"file_name": str(path), "width": width, "height": height}


def check(folder, records, **options) -> None:
    check_images(records, folder, "photos:train.json", ImageReader(**options))


def message(folder, records, **options) -> str:
    with pytest.raises(ValueError) as caught:
        check(folder, records, **options)
    return str(caught.value)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])
    return path


def deep(path, top: int = 4000):
    values = np.linspace(0, top, 24 * 32).reshape(24, 32).astype(np.uint16)
    assert cv2.imwrite(str(path), values)
    return path


def test_images_in_order_pass(folder, caplog):
    records = [record(save(folder / f"{i}.png")) for i in range(200)]
    records += [record(save(folder / "turned.jpg", exif=oriented(6)), 24, 32)]
    records += [{"file_name": str(save(folder / "unstated.jpg"))}]
    with caplog.at_level(logging.INFO):
        check(folder, records)
    assert "Checked the headers of 202 images of photos:train.json" in caplog.text


def test_all_flaws_are_counted_and_the_first_are_named(folder):
    records = [record(save(folder / f"good{i}.png")) for i in range(5)]
    records += [record(cut(save(folder / f"cut{i}.jpg"))) for i in range(4)]
    records += [record(folder / "gone.png")]
    records += [record(save(folder / "turned.jpg", exif=oriented(8)))]
    records += [record(save(folder / "side.png"), 24, 32)]
    records += [record(save(folder / "size.png"), 64, 48)]
    records += [record(bomb(folder / "bomb.png", 13_000), 13_000, 13_000)]
    records += [record(deep(folder / f"deep{i}.png")) for i in range(2)]
    said = message(folder, records)
    assert said.startswith("11 of the 16 images of photos:train.json cannot be used: ")
    parts = said.removesuffix(".").partition("used: ")[2].split("; ")
    assert parts[0] == (
        "5 cannot be read (cut0.jpg, cut1.jpg, cut2.jpg, ...): replace them, or remove them from "
        "the file"
    )
    assert parts[1].startswith("1 is turned by EXIF data, which exchange the width and height")
    assert "(turned.jpg): if the boxes" in parts[1] and "exiftool" in parts[1]
    assert parts[2].startswith("1 has the width and height that the file states exchanged (side.p")
    assert "(size.png has 32 x 24, not 64 x 48): annotate it in its own size" in parts[3]
    assert parts[4] == (
        "1 has more than 120,000,000 pixels (bomb.png has 13000 x 13000): leave it out, or raise "
        "--max-pixels"
    )
    assert "2 have more than 8 bits a channel (deep0.png, deep1.png): give" in parts[5]
    assert parts[5].endswith("such as --depth-range 0 4095")


def test_options_of_the_run_let_images_pass(folder):
    records = [record(deep(folder / "deep.png")), record(save(folder / "a.png"))]
    check(folder, records, depth_range=(0, 4095), max_pixels=32 * 24)
    assert "2 have more than 767 pixels" in message(folder, records, max_pixels=32 * 24 - 1)


def test_a_file_with_something_behind_its_end_is_read_to_see_whether_it_is_whole(folder):
    path = save(folder / "phone.jpg")
    path.write_bytes(path.read_bytes() + bytes(10_000))  # as of a moving photograph
    check(folder, [record(path)])
    assert "1 cannot be read" in message(folder, [record(cut(save(folder / "cut.jpg")))])


def test_only_what_is_new_or_has_changed_is_read_again(folder, cache, monkeypatch):
    records = [record(save(folder / f"{i}.png")) for i in range(3)]
    check(folder, records)
    read = []
    real = image_check.read_header
    monkeypatch.setattr(image_check, "read_header", lambda path: read.append(path) or real(path))
    check(folder, records)
    assert read == []
    changed = folder / "1.png"
    save(changed, "L")
    os.utime(changed, ns=(1, 1))
    check(folder, [*records, record(save(folder / "new.png"))])
    assert read == [str(changed), str(folder / "new.png")]
    # A header that is known is compared all the same, and a flaw is not kept.
    assert "another size" in message(folder, [record(folder / "0.png", 64, 48)])
    (folder / "0.png").write_bytes(b"")
    for _ in range(2):
        assert "1 cannot be read (0.png)" in message(folder, records)


def test_a_few_files_are_not_kept(folder, cache, monkeypatch, caplog):
    monkeypatch.setattr(image_check, "_WORTH_KEEPING", 2)
    caplog.set_level(logging.INFO)
    records = [record(save(folder / "a.png"))]
    check(folder, records)
    assert not (cache / image_check._CACHE).exists() and "from the cache" not in caplog.text
    check(folder, [*records, record(save(folder / "b.png"))])
    assert "0 of them from the cache" in caplog.text


def test_a_cache_that_cannot_be_used_is_done_without(folder, cache):
    records = [record(save(folder / "a.png"))]
    check(folder, records)
    (file,) = (cache / image_check._CACHE).iterdir()
    for broken in ("[1, 2", "[]"):
        file.write_text(broken)
        check(folder, records)
    assert list(json.loads(file.read_text())) == [str(folder / "a.png")]
    file.unlink()
    file.mkdir()
    check(folder, records)


def test_a_turned_square_is_in_order(folder):
    path = folder / "a.jpg"
    Image.fromarray(NOISE[:, :24]).save(path, exif=oriented(6))
    check(folder, [record(path, 24, 24)])
