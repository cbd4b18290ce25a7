"""File names of an annotation file lead to files of the image folder, and nowhere else."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cascade_rpn_d2.data.coco_fields import AnnotationFileError
from cascade_rpn_d2.data.image_names import ImageFolder

LABELS = Path("labels.json")


@pytest.fixture
def folder(tmp_path):
    """``images`` with two images, one of them in a folder, beside another image."""
    root = tmp_path / "set/images"
    (root / "sub").mkdir(parents=True)
    for path in (root / "a.jpg", root / "sub/b.jpg", tmp_path / "outside.jpg"):
        path.touch()
    return root


@pytest.mark.parametrize(
    "names",
    [
        ["a.jpg", "sub/b.jpg"],
        ["./a.jpg", "sub/../sub//b.jpg"],
        ["a.jpg", r"sub\b.jpg"],
        ["images/a.jpg", "images/sub/b.jpg"],
        [r"images\a.jpg", r"images\sub\b.jpg"],
        ["set/images/a.jpg", "set/images/sub/b.jpg"],
        ["{root}/a.jpg", "{root}/sub/b.jpg"],
        ["../images/a.jpg", "sub/b.jpg"],
    ],
)
def test_names_that_mean_images_of_the_folder(folder, names):
    names = [name.format(root=folder) for name in names]
    assert ImageFolder(folder).locate(LABELS, names) == ["a.jpg", "sub/b.jpg"]


def test_a_prefix_is_left_out_whatever_the_folder_is_called(folder, caplog):
    caplog.set_level(logging.INFO, "cascade_rpn_d2")
    renamed = folder.rename(folder.parent / "photos")
    found = ImageFolder(renamed).locate(LABELS, ["images/a.jpg", "images/sub/b.jpg"])
    assert found == ["a.jpg", "sub/b.jpg"]
    assert caplog.messages == ["labels.json: 'images/' before its file names is left out."]


def test_a_folder_of_that_name_inside_is_not_left_out(folder):
    (folder / "images").mkdir()
    (folder / "images/a.jpg").touch()
    assert ImageFolder(folder).locate(LABELS, ["images/a.jpg"]) == ["images/a.jpg"]
    # One of several is missing: it is not taken for another image.
    with pytest.raises(FileNotFoundError, match=r"1 of the 2 images .*\(images/sub/b\.jpg\)"):
        ImageFolder(folder).locate(LABELS, ["images/a.jpg", "images/sub/b.jpg"])


def test_a_back_slash_may_belong_to_a_name(folder):
    (folder / r"c\d.jpg").touch()
    assert ImageFolder(folder).locate(LABELS, [r"c\d.jpg"]) == [r"c\d.jpg"]


OUTSIDE = [
    ".",
    "/etc/passwd",
    "../../outside.jpg",
    "sub/../../../outside.jpg",
    r"..\..\outside.jpg",
    "..",
    "../images2/a.jpg",
    "{root}2/a.jpg",
    r"C:\photos\a.jpg",
    "c:/photos/a.jpg",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_out_of_the_folder_is_refused(folder, name):
    message = r"images\[1\] has file_name .* leads out of the image folder .*--allow-outside-images"
    with pytest.raises(AnnotationFileError, match=message) as caught:
        ImageFolder(folder).locate(LABELS, ["a.jpg", name.format(root=folder)])
    assert "\n" not in str(caught.value)


def test_outside_images_are_taken_when_asked(folder, tmp_path):
    names = ["a.jpg", "../../outside.jpg", str(tmp_path / "outside.jpg"), r"..\..\outside.jpg"]
    outside = str(tmp_path / "outside.jpg")
    found = ImageFolder(folder, allow_outside=True).locate(LABELS, names)
    assert found == ["a.jpg", outside, outside, outside]


def test_a_link_inside_the_folder_may_lead_anywhere(folder, tmp_path):
    (folder / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    assert ImageFolder(folder).locate(LABELS, ["link.jpg"]) == ["link.jpg"]
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert ImageFolder(linked).locate(LABELS, ["a.jpg"]) == ["a.jpg"]


@pytest.mark.parametrize("name", ["sub", "sub/..//sub", "none.jpg", "a.jpg/b.jpg", "x" * 5000])
def test_what_is_no_file_is_missing(folder, name):
    with pytest.raises(FileNotFoundError, match=r"1 of the 2 images of labels\.json are missing"):
        ImageFolder(folder).locate(LABELS, ["a.jpg", name])
