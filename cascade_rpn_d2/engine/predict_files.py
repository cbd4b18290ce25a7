"""From files to pictures and a json of boxes: what ``cascade-rpn predict`` does.

Frames of all sources run through the model as one stream of batches. What cannot be read is skipped
and counted; the rest is done.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectron2.structures import Instances
from tqdm import tqdm

from ..checkpoint import write_atomically
from ..data.images import Frame, Source, count_frames, read_frames
from ..visualization import draw_detections, draw_proposals
from .output_files import prepare_file
from .picture_writer import PictureWriter
from .predictor import BatchPredictor, Categories


@dataclass
class Summary:
    """What came of a run.

    Args:
        frames: images and frames of videos that were predicted.
        boxes: boxes that were kept.
        skipped: one error for each source that could not be read; it names the file.
    """

    frames: int = 0
    boxes: int = 0
    skipped: list[OSError] = field(default_factory=list)


def predict_files(
    predictor: BatchPredictor,
    sources: Sequence[Source],
    output_dir: str | os.PathLike[str],
    *,
    json_path: str | os.PathLike[str] | None = None,
    batch_size: int = 1,
    score_threshold: float | None = None,
    top_k: int = 100,
    categories: Categories | None = None,
) -> Summary:
    """Predict every frame of the sources, and write it with its boxes.

    Args:
        predictor: gives proposals or instances.
        sources: images and videos; an image becomes a picture, a video a video.
        output_dir: folder for the results, made if need be. A source keeps its name; names that
            would be equal get a number.
        json_path: also write the boxes there, see :func:`coco_records`; its folder is made.
        batch_size: frames that are handed to the predictor at once.
        score_threshold: keep boxes of at least this score, in [0, 1]; by default 0.5 for
            detections and 0 for proposals.
        top_k: keep at most so many boxes of a frame, the best.
        categories: the classes of a detector.

    Returns:
        Counts, and the errors of the sources that were skipped.

    Raises:
        ValueError: if a result would replace one of the sources.
        OSError: if a result cannot be written.
    """
    categories = categories or Categories()
    writer = PictureWriter(output_dir, sources)
    if json_path is not None:
        prepare_file(json_path, "boxes.json")
    summary = Summary()
    records: list[dict[str, Any]] = []
    total = sum(count_frames(source) for source in sources)
    with tqdm(total=total, unit="image", disable=None) as bar, writer:

        def skip(_: Source, error: OSError) -> None:
            summary.skipped.append(error)
            bar.write(f"Skipped: {error}", file=sys.stderr)

        for batch in batched(read_frames(sources, skip, predictor.reader), batch_size):
            outputs = predictor([frame.image for frame in batch])
            for frame, output in zip(batch, outputs, strict=True):
                summary.frames += 1
                instances = best_instances(output, score_threshold, top_k)
                summary.boxes += len(instances)
                records += coco_records(instances, summary.frames, frame, categories)
                writer.write(frame, draw(frame, instances, categories))
                bar.update()
    if json_path is not None:
        # One box a line: readable, and still small enough for many of them.
        content = "[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n"
        write_atomically(json_path, lambda file: file.write(content.encode()))
    return summary


def best_instances(output: dict[str, Any], score_threshold: float | None, top_k: int) -> Instances:
    """The boxes of an output that are worth showing, best first, on the CPU.

    Args:
        output: ``{"instances": ...}`` or ``{"proposals": ...}`` of one image.
        score_threshold: as of :func:`predict_files`.
        top_k: how many boxes at most.

    Returns:
        ``pred_boxes`` and ``scores``, and ``pred_classes`` and the like of a detector. The score of
        a proposal is the sigmoid of its objectness logit.
    """
    if "instances" in output:
        instances = output["instances"].to("cpu")
        least = 0.5 if score_threshold is None else score_threshold
    else:
        proposals = output["proposals"].to("cpu")
        instances = Instances(
            proposals.image_size,
            pred_boxes=proposals.proposal_boxes,
            scores=proposals.objectness_logits.sigmoid(),
        )
        least = 0.0 if score_threshold is None else score_threshold
    order = instances.scores.argsort(descending=True, stable=True)[:top_k]
    return instances[order[instances.scores[order] >= least]]


def coco_records(
    instances: Instances, image_id: int, frame: Frame, categories: Categories
) -> list[dict[str, Any]]:
    """The boxes of a frame in the form of COCO's results.

    Args:
        instances: as of :func:`best_instances`.
        image_id: number of the image in the run, from 1.
        frame: where they are from.
        categories: ids of the classes; proposals, which have no class, get ``category_id`` 1.

    Returns:
        Dicts of ``image_id``, ``file_name`` (the path that was read), ``frame`` (of a video, from
        0), ``category_id``, ``bbox`` (x, y, width, height in pixels) and ``score``.
    """
    place: dict[str, Any] = {"image_id": image_id, "file_name": frame.source.path.as_posix()}
    if frame.source.is_video:
        place["frame"] = frame.index
    if instances.has("pred_classes"):
        ids = [categories.id_of(index) for index in instances.pred_classes.tolist()]
    else:
        ids = [1] * len(instances)
    records = []
    boxes, scores = instances.pred_boxes.tensor.tolist(), instances.scores.tolist()
    for (x1, y1, x2, y2), score, category in zip(boxes, scores, ids, strict=True):
        bbox = [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)]
        records.append({**place, "category_id": category, "bbox": bbox, "score": round(score, 6)})
    return records


def draw(frame: Frame, instances: Instances, categories: Categories) -> Any:
    """The frame with its boxes, (H, W, 3) uint8 in RGB order."""
    image = frame.image[:, :, ::-1]
    if instances.has("pred_classes"):
        return draw_detections(image, instances, categories.names)
    return draw_proposals(image, instances.pred_boxes, instances.scores, top=len(instances))


def batched(items: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Lists of ``size`` items in order, the last one perhaps shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
