"""Weights that others have published for configs of the zoo: downloaded, verified and converted.

The conversion is kept in the cache folder and made once. mmdet names its files by the first eight
hexadecimal digits of their SHA-256, and states no more of it: what is verified is that prefix.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..checkpoint.convert import convert_checkpoint, write_conversion
from ..config.files import get_config
from ..data.cache import cache_dir, publish
from ..files.digest import sha256_of
from ..files.download import local_path
from ..files.untrusted import shown
from .drawn_pictures import measure_on_drawn_pictures
from .lazy_model import instantiate_model

_MMDET = "https://download.openmmlab.com/mmdetection/v2.0"
# Goes into the folder's name: raise it when the same file is converted to something else.
_VERSION = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A checkpoint of another framework.

    Args:
        url: where it is.
        sha256: hexadecimal SHA-256 of the file, or as many of its first digits as are known.
    """

    url: str
    sha256: str


def _entry(folder: str, name: str, version: str) -> PublishedCheckpoint:
    """An entry of a folder of mmdet's; the version ends in the digest."""
    url = f"{_MMDET}/{folder}/{name}/{name}_{version}.pth"
    return PublishedCheckpoint(url, sha256=version.rpartition("-")[2])


_guided = partial(_entry, "guided_anchoring")
_grid = partial(_entry, "grid_rcnn")

# Config name -> mmdet's checkpoint; addresses are those of mmdet's READMEs and metafiles of each
# method. All but Grid R-CNN's are FPN 1x; their are caffe's. Those of May 2020 may
# have been trained with another pixel mean than ours: if their training configs state one,
# converting them says so.
PUBLISHED: dict[str, PublishedCheckpoint] = {
    # AR1000 72.0
    "cascade_rpn/cascade_rpn_r50_fpn_1x.py": PublishedCheckpoint(
        f"{_MMDET}/cascade_rpn/crpn_r50_caffe_fpn_1x_coco/"
        "cascade_rpn_r50_caffe_fpn_1x_coco-7aa93cef.pth",
        sha256="7aa93cef",
    ),
    # AP 39.9
    "cascade_rpn/cascade_rpn_fast_rcnn_r50_fpn_1x.py": PublishedCheckpoint(
        f"{_MMDET}/cascade_rpn/crpn_fast_rcnn_r50_caffe_fpn_1x_coco/"
        "crpn_fast_rcnn_r50_caffe_fpn_1x_coco-cb486e66.pth",
        sha256="cb486e66",
    ),
    # AP 40.4
    "cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py": PublishedCheckpoint(
        f"{_MMDET}/cascade_rpn/crpn_faster_rcnn_r50_caffe_fpn_1x_coco/"
        "crpn_faster_rcnn_r50_caffe_fpn_1x_coco-c8283cca.pth",
        sha256="c8283cca",
    ),
    # AR1000 58.7
    "cascade_rpn/rpn_r50_fpn_1x.py": PublishedCheckpoint(
        f"{_MMDET}/rpn/rpn_r50_caffe_fpn_1x_coco/rpn_r50_caffe_fpn_1x_coco_20200531-5b903a37.pth",
        sha256="5b903a37",
    ),
    # AP 37.8
    "cascade_rpn/faster_rcnn_r50_fpn_1x.py": PublishedCheckpoint(
        f"{_MMDET}/faster_rcnn/faster_rcnn_r50_caffe_fpn_1x_coco/"
        "faster_rcnn_r50_caffe_fpn_1x_coco_bbox_mAP-0.378_20200504_180032-c5925ee5.pth",
        sha256="c5925ee5",
    ),
    # Guided Anchoring. By their dates, X-101 was trained before mmdet exchanged the labels of the
    # location branch, and the others after; converting them looks.
    # AR1000 68.4
    "guided_anchoring/ga_rpn_r50_fpn_1x.py": _guided(
        "ga_rpn_r50_caffe_fpn_1x_coco", "20200531-899008a6"
    ),
    # AR1000 69.5
    "guided_anchoring/ga_rpn_r101_fpn_1x.py": _guided(
        "ga_rpn_r101_caffe_fpn_1x_coco", "20200531-ca9ba8fb"
    ),
    # AR1000 70.6
    "guided_anchoring/ga_rpn_x101_32x4d_fpn_1x.py": _guided(
        "ga_rpn_x101_32x4d_fpn_1x_coco", "20200220-c28d1b18"
    ),
    # AR1000 71.2
    "guided_anchoring/ga_rpn_x101_64x4d_fpn_1x.py": _guided(
        "ga_rpn_x101_64x4d_fpn_1x_coco", "20200225-3c6e1aa2"
    ),
    # AP 39.6
    "guided_anchoring/ga_faster_rcnn_r50_fpn_1x.py": _guided(
        "ga_faster_r50_caffe_fpn_1x_coco", "20200702_000718-a11ccfe6"
    ),
    # AP 41.5
    "guided_anchoring/ga_faster_rcnn_r101_fpn_1x.py": _guided(
        "ga_faster_r101_caffe_fpn_1x_coco", "bbox_mAP-0.415_20200505_115528-fb82e499"
    ),
    # AP 43.0
    "guided_anchoring/ga_faster_rcnn_x101_32x4d_fpn_1x.py": _guided(
        "ga_faster_x101_32x4d_fpn_1x_coco", "20200215-1ded9da3"
    ),
    # AP 43.9
    "guided_anchoring/ga_faster_rcnn_x101_64x4d_fpn_1x.py": _guided(
        "ga_faster_x101_64x4d_fpn_1x_coco", "20200215-0fa7bde7"
    ),
    # AP 36.3
    "guided_anchoring/retinanet_r50_fpn_1x.py": PublishedCheckpoint(
        f"{_MMDET}/retinanet/retinanet_r50_caffe_fpn_1x_coco/"
        "retinanet_r50_caffe_fpn_1x_coco_20200531-f11027c5.pth",
        sha256="f11027c5",
    ),
    # AP 36.9; not the first upload, which was of epoch 9.
    "guided_anchoring/ga_retinanet_r50_fpn_1x.py": _guided(
        "ga_retinanet_r50_caffe_fpn_1x_coco", "20201020-39581c6f"
    ),
    # AP 39.0
    "guided_anchoring/ga_retinanet_r101_fpn_1x.py": _guided(
        "ga_retinanet_r101_caffe_fpn_1x_coco", "20200531-6266453c"
    ),
    # AP 40.5
    "guided_anchoring/ga_retinanet_x101_32x4d_fpn_1x.py": _guided(
        "ga_retinanet_x101_32x4d_fpn_1x_coco", "20200219-40c56caa"
    ),
    # AP 41.3
    "guided_anchoring/ga_retinanet_x101_64x4d_fpn_1x.py": _guided(
        "ga_retinanet_x101_64x4d_fpn_1x_coco", "20200226-ef9f7f1f"
    ),
    # Grid R-CNN, of 25 epochs; mmdet has published none of 12.
    # AP 40.4
    "grid_rcnn/grid_rcnn_r50_fpn_2x.py": _grid(
        "grid_rcnn_r50_fpn_gn-head_2x_coco", "20200130-6cca8223"
    ),
    # AP 41.5
    "grid_rcnn/grid_rcnn_r101_fpn_2x.py": _grid(
        "grid_rcnn_r101_fpn_gn-head_2x_coco", "20200309-d6eca030"
    ),
    # AP 42.9
    "grid_rcnn/grid_rcnn_x101_32x4d_fpn_2x.py": _grid(
        "grid_rcnn_x101_32x4d_fpn_gn-head_2x_coco", "20200130-d8f0e3ff"
    ),
    # AP 43.0
    "grid_rcnn/grid_rcnn_x101_64x4d_fpn_2x.py": _grid(
        "grid_rcnn_x101_64x4d_fpn_gn-head_2x_coco", "20200204-ec76a754"
    ),
}


def get_published_file(name: str) -> str:
    """Path of the converted weights of a config of :data:`PUBLISHED`.

    The first call downloads the file into the cache of iopath (``$FVCORE_CACHE``) and converts it;
    later ones verify what the first has left. What is to be known of the file is logged, such as
    whether a location branch was turned round (by what it says of drawn pictures).

    Args:
        name: a key of :data:`PUBLISHED`.

    Raises:
        OSError: if the file cannot be downloaded, or the cache not written.
        ValueError: if the file is not the one that was published, or does not fit the config.
    """
    published = PUBLISHED[name]
    folder = cache_dir() / "converted" / f"v{_VERSION}-{Path(published.url).stem}"
    if not _is_intact(folder):
        if folder.is_dir():
            logger.warning("%s is damaged; converting the file once more.", folder)
            shutil.rmtree(folder)
        source = _download(name, published)
        config = get_config(name)
        model = instantiate_model(config, name)
        measure = measure_on_drawn_pictures(config)
        conversion = convert_checkpoint(source, model, measure=measure)
        for note in conversion.notes:
            logger.warning("%s: %s", published.url, note)
        with publish(folder) as staging:
            write_conversion(conversion, staging / "model.pth")
            (staging / "sha256").write_text(sha256_of(staging / "model.pth"))
        logger.info("Converted %s into %s", published.url, folder)
    return str(folder / "model.pth")


def _is_intact(folder: Path) -> bool:
    file, digest = folder / "model.pth", folder / "sha256"
    if not file.is_file() or not digest.is_file():
        return False
    return sha256_of(file) == digest.read_text()


def _download(name: str, published: PublishedCheckpoint) -> str:
    advice = (
        "download it by hand, convert it with `cascade-rpn convert`, and give the file of weights"
    )
    try:
        file = local_path(published.url)
    except OSError as error:
        reason = shown(error.__cause__)
        raise OSError(
            f"Cannot download the weights of '{name}' from {published.url} ({reason}): check the "
            f"connection, or {advice}."
        ) from error
    if not Path(file).is_file():
        raise FileNotFoundError(
            f"There is no {published.url} with the weights of '{name}': {advice}."
        )
    found = sha256_of(file)
    if not found.startswith(published.sha256):
        raise ValueError(
            f"{file} has the SHA-256 {found}, which does not begin with {published.sha256}: "
            f"delete it to download it again, or {advice}."
        )
    return file
