"""What is known of an image before it is decoded."""

from __future__ import annotations

import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from cascade_rpn_d2.data import ImageReader
from cascade_rpn_d2.data.image_headers import UnreadableImageError, open_image, read_header

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def save(path, mode="RGB", **options):
    Image.fromarray(NOISE).convert(mode).save(path, **options)
    return path


def oriented(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def exif_behind(path):
    """Move the EXIF data of a PNG behind its pixels."""
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4])
    chunk, rest = content[start:end], content[:start] + content[end:]
    cut = rest.index(b"IEND") - 4
    path.write_bytes(rest[:cut] + chunk + rest[cut:])
    return path


def bomb(path, side: int):
    """A PNG of side x side black pixels: a thousandth of a byte each."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = side.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])  # one bit a pixel, grey
    rows = zlib.compress(bytes(side * ((side + 7) // 8 + 1)), 9)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_turned_image(tmp_path, suffix, orientation):
    header = read_header(save(tmp_path / f"a.{suffix}", exif=oriented(orientation)))
    turned = orientation >= 5
    assert (header.width, header.height) == ((24, 32) if turned else (32, 24))
    assert header.turned is turned and header.orientation == orientation


def test_the_orientation_behind_the_pixels_of_a_png_is_found(tmp_path):
    assert read_header(exif_behind(save(tmp_path / "a.png", exif=oriented(6)))).turned


def test_no_pixel_is_decoded_for_a_header(tmp_path, monkeypatch):
    path = exif_behind(save(tmp_path / "a.png", exif=oriented(6)))
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded.append)
    for _ in range(2):
        read_header(path)
        with pytest.raises(UnreadableImageError, match="24 x 32 pixels, more than the 767 that"):
            ImageReader(max_pixels=24 * 32 - 1)(path)
        # Words among the pixels, or in a chunk that is none.
        content = path.read_bytes()
        path.write_bytes(content.replace(b"IEND", b"eXIf\xff\xff\xff\xffeXIfIEND"))
    assert decoded == []


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("grey.png", "16 bits a channel"),
        ("colour.png", "16 bits a channel"),
        ("alpha.png", "16 bits a channel"),
        ("grey.tif", "16 bits a channel"),
        ("colour.tif", "16 bits a channel"),
        ("colour.ppm", "16 bits a channel"),
        ("grey.pgm", "integers of up to 32 bits"),
        ("whole.tif", "integers of up to 32 bits"),
        ("float.tif", "floating-point values"),
    ],
)
def test_more_than_8_bits_a_channel_are_known(tmp_path, name, depth):
    path = tmp_path / name
    deep = NOISE.astype(np.uint16) * 16  # 12 bits in 16
    images = {"grey": deep[..., 0], "colour": deep, "alpha": np.dstack((deep, deep[..., :1]))}
    if path.stem in images:
        assert cv2.imwrite(str(path), images[path.stem])
    else:
        kind = np.int32 if path.stem == "whole" else np.float32
        Image.fromarray(NOISE[..., 0].astype(kind)).save(path)
    assert read_header(path).depth == depth


MODES = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "jpg": ("1", "L", "RGB", "CMYK", "YCbCr"),
    "tif": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"),
    "bmp": ("1", "L", "P", "RGB", "RGBA"),
    "gif": ("1", "L", "P", "RGB", "RGBA"),
    "webp": ("L", "P", "RGB", "RGBA"),
}


@pytest.mark.parametrize(("suffix", "mode"), [(s, m) for s, modes in MODES.items() for m in modes])
def test_other_images_are_complete_and_of_8_bits(tmp_path, suffix, mode):
    header = read_header(save(tmp_path / f"a.{suffix}", mode))
    assert (header.depth, header.complete) == (None, True)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "gif"])
def test_a_file_without_its_end_is_known(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[:-200])
    assert not read_header(path).complete


def test_a_header_costs_no_memory_of_the_pixels(tmp_path):
    path = bomb(tmp_path / "a.png", 30_000)  # Pillow's own limit would refuse it
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        header = read_header(path)
    assert (header.width, header.height) == (30_000, 30_000)
    assert Image.MAX_IMAGE_PIXELS == limit


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it does not exist"),
        (b"", "it is empty"),
        (b"words", "it is no image, or of a format that is not known here"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "it is an HTML page"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it is"),
    ],
)
def test_what_is_no_image_is_named_in_a_sentence_of_our_own(tmp_path, content, reason):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImageError) as caught:
        read_header(path)
    assert str(caught.value).startswith(f"Cannot read image {path}: {reason}")
    assert str(caught.value).endswith("; replace it, or leave it out.")


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(UnreadableImageError, match="cannot be opened .Is a directory."):
        read_header(tmp_path)


def test_what_fails_while_it_is_decoded_is_named(tmp_path):
    path = save(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UnreadableImageError, match="a.png: it is cut off or damaged; replace it"):
        with open_image(path) as image:
            image.load()
