"""The one place where images are read."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from detectron2.data.detection_utils import read_image
from PIL import Image

from cascade_rpn_d2.data import ImageReader, UnreadableImageError
from cascade_rpn_d2.data.image_file import likely_range, scale_to_8_bits

from .test_image_headers import NOISE, bomb, exif_behind, oriented, save

SHAPE = NOISE.shape[:2]


def write(path, image):
    assert cv2.imwrite(str(path), image)
    return path


def save_grey(path, values, **options):
    Image.fromarray(values).save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("image_format", ["BGR", "RGB", "L"])
def test_pixels_are_those_of_detectron2(tmp_path, mode, image_format):
    path = save(tmp_path / "a.png", mode)
    image = ImageReader()(path, image_format)
    np.testing.assert_array_equal(image, read_image(str(path), image_format))
    assert image.dtype == np.uint8 and image.flags.c_contiguous


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_colours_of_print_and_video_too(tmp_path, mode):
    path = save(tmp_path / "a.jpg", mode)
    np.testing.assert_array_equal(ImageReader()(path), read_image(str(path), "BGR"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_an_image_is_turned_as_its_exif_data_say(tmp_path, suffix, orientation):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", exif=oriented(orientation), **options)
    expected = NOISE if orientation == 1 else np.asarray(turned(Image.fromarray(NOISE), path))
    np.testing.assert_array_equal(ImageReader()(path, "RGB"), expected)
    if suffix == "png":
        np.testing.assert_array_equal(expected, read_image(str(path), "RGB"))


def turned(image: Image.Image, path) -> Image.Image:
    """By Pillow's own function."""
    from PIL import ImageOps

    with Image.open(path) as stated:
        image.getexif()[0x0112] = stated.getexif().get(0x0112)
    return ImageOps.exif_transpose(image)


def test_an_image_is_turned_by_exif_data_behind_its_pixels_too(tmp_path):
    path = save(tmp_path / "a.png", exif=oriented(6))
    expected = ImageReader()(path)
    np.testing.assert_array_equal(ImageReader()(exif_behind(path)), expected)
    assert expected.shape[:2] == SHAPE[::-1]


def test_broken_exif_data_are_as_good_as_none(tmp_path):
    path = save(tmp_path / "a.png", exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(ImageReader()(path, "RGB"), NOISE)


def test_a_broken_image_is_named(tmp_path):
    path = save(tmp_path / "cut.png")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UnreadableImageError, match="Cannot read image .*cut.png: it is cut off"):
        ImageReader()(path)


def test_a_small_file_cannot_ask_for_much_memory(tmp_path):
    path = bomb(tmp_path / "a.png", 13_000)
    assert path.stat().st_size < 30_000
    with pytest.raises(UnreadableImageError, match=r"13000 x 13000 pixels, more than .*120,000,0"):
        ImageReader()(path)
    # The limit is a number of the user's; Pillow's own plays no part.
    small = bomb(tmp_path / "b.png", 100)
    assert ImageReader(max_pixels=10_000)(small).shape == (100, 100, 3)
    with pytest.raises(UnreadableImageError, match="--max-pixels 10000"):
        ImageReader(max_pixels=9_999)(small)


DEEP = np.arange(24 * 32).reshape(SHAPE) * 5  # from 0 to 3835: 12 bits
EIGHT = np.rint(DEEP / 4095 * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("png", np.uint16), ("tif", np.uint16), ("tif", np.int32), ("tif", np.float32)],
)
def test_deep_grey_images_are_scaled_by_the_range(tmp_path, suffix, kind):
    path = save_grey(tmp_path / f"a.{suffix}", DEEP.astype(kind))
    image = ImageReader(depth_range=(0, 4095))(path)
    np.testing.assert_array_equal(image, np.dstack((EIGHT,) * 3))


@pytest.mark.parametrize(
    ("suffix", "channels"), [("png", 3), ("png", 4), ("tif", 3), ("tif", 4), ("ppm", 3)]
)
def test_deep_colours_are_scaled_too_and_lose_their_alpha(tmp_path, suffix, channels):
    deep = np.dstack([np.roll(DEEP, shift, 1) for shift in range(channels)]).astype(np.uint16)
    path = write(tmp_path / f"a.{suffix}", deep)
    expected = np.dstack([np.roll(EIGHT, shift, 1) for shift in range(3)])
    np.testing.assert_array_equal(ImageReader(depth_range=(0, 4095))(path), expected)
    np.testing.assert_array_equal(
        ImageReader(depth_range=[0, 4095])(path, "RGB"), expected[..., ::-1]
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_images_are_turned_like_others(tmp_path, orientation, suffix):
    options = {"exif": oriented(orientation)}
    deep = save_grey(tmp_path / f"a.{suffix}", DEEP.astype(np.uint16), **options)
    plain = save_grey(tmp_path / f"b.{suffix}", EIGHT, **options)
    reader = ImageReader(depth_range=(0, 4095))
    np.testing.assert_array_equal(reader(deep), reader(plain))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_of_a_tiff_are_turned_once(tmp_path, orientation):
    deep = np.dstack([np.roll(DEEP, shift, 1) for shift in range(3)]).astype(np.uint16)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of(deep, orientation))
    eight = np.dstack([np.roll(EIGHT, shift, 1) for shift in range(3)])
    plain = save_grey(tmp_path / "b.tif", eight, exif=oriented(orientation))
    reader = ImageReader(depth_range=(0, 4095))
    np.testing.assert_array_equal(reader(path), reader(plain))


def tiff_of(pixels: np.ndarray, orientation: int) -> bytes:
    """A TIFF of 16 bits a colour, which no library at hand writes with an orientation."""
    height, width, channels = pixels.shape
    tags = {256: width, 257: height, 259: 1, 262: 2, 274: orientation, 277: channels, 278: height}
    data = 8 + 2 + 12 * (len(tags) + 3) + 4 + 2 * channels
    entries = [(tag, 3, 1, value) for tag, value in tags.items()]
    entries += [(258, 3, channels, data - 2 * channels), (273, 4, 1, data)]
    entries.append((279, 4, 1, pixels.nbytes))
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    bits = struct.pack(f"<{channels}H", *(16,) * channels)
    return head + directory + bytes(4) + bits + pixels.astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (DEEP.astype(np.uint16), "16 bits a channel: give .* --depth-range 0 4095"),
        ((DEEP * 10).astype(np.uint16), "--depth-range 0 65535"),
        (DEEP.astype(np.int32), "integers of up to 32 bits: .* --depth-range 0 4095"),
        (DEEP.astype(np.int32) - 9, "--depth-range -9 3826"),
        ((DEEP / 5000).astype(np.float32), "floating-point values: .* --depth-range 0 1"),
        (np.full(SHAPE, np.nan, np.float32), "--depth-range 0 1"),
    ],
)
def test_deep_images_are_refused_without_a_range_and_one_is_advised(tmp_path, values, advice):
    path = save_grey(tmp_path / "deep.tif", values)
    with pytest.raises(UnreadableImageError, match=f"deep.tif has .*{advice}"):
        ImageReader()(path)
    assert ImageReader(depth_range=likely_range(path))(path).shape == (*SHAPE, 3)


def test_a_range_leaves_other_images_as_they_are(tmp_path):
    path = save(tmp_path / "a.png")
    np.testing.assert_array_equal(ImageReader(depth_range=(0, 4095))(path, "RGB"), NOISE)


def test_values_beyond_the_range_are_black_and_white():
    values = np.array([-np.inf, -3.0, 1.0, 2.0, 3.0, 1e300, np.inf, np.nan])
    assert scale_to_8_bits(values, 1, 3).tolist() == [0, 0, 0, 128, 255, 255, 255, 0]
    assert scale_to_8_bits(np.array([0, 100, 200, 65535], np.uint16), 100, 200).tolist() == [
        *(0, 0, 255, 255)
    ]


@pytest.mark.parametrize("depth_range", [(1,), (1, 2, 3), (2, 1), (1, 1), (0, np.inf), ("a", "b")])
def test_a_range_that_cannot_be_meant_is_refused(depth_range):
    with pytest.raises(ValueError, match=r"The depth range is .* such as \[0, 4095\], not "):
        ImageReader(depth_range=depth_range)


@pytest.mark.parametrize("max_pixels", [0, -1, 1.5, True, "many"])
def test_a_limit_that_cannot_be_meant_is_refused(max_pixels):
    with pytest.raises(ValueError, match="The limit of pixels must be a positive integer"):
        ImageReader(max_pixels=max_pixels)
