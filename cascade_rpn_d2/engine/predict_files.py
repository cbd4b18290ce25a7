"""From files to pictures and a json of boxes: what ``cascade-rpn predict`` does.

Frames of all sources run through the model as one stream of batches. What cannot be read is skipped
and counted; the rest is done.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from detectron2.structures import Instances
from tqdm import tqdm

from ..data.images import Frame, Source, count_frames, read_frames
from ..visualization import draw_detections, draw_proposals
from .picture_writer import PictureWriter
from .predict_inputs import Inputs
from .prediction_file import Format, PredictionFile
from .predictor import BatchPredictor, Categories


@dataclass
class Summary:
    """What came of a run.

    Args:
        frames: images and frames of videos that were predicted.
        boxes: boxes that were kept.
        least_score: what boxes had to reach to be kept; 0 if no frame was predicted.
        skipped: one error for each source that could not be read; it names the file.
    """

    frames: int = 0
    boxes: int = 0
    least_score: float = 0.0
    skipped: list[OSError] = field(default_factory=list)


def predict_files(
    predictor: BatchPredictor,
    inputs: Inputs,
    output_dir: str | os.PathLike[str],
    *,
    json_path: str | os.PathLike[str] | None = None,
    file_format: Format = "coco-results",
    batch_size: int = 1,
    score_threshold: float | None = None,
    top_k: int = 100,
    categories: Categories | None = None,
) -> Summary:
    """Predict every frame of the inputs, and write it with its boxes.

    Args:
        predictor: gives proposals or instances.
        inputs: images and videos; an image becomes a picture, a video a video.
        output_dir: folder for the results, made if need be. A source keeps its name; names that
            would be equal get a number.
        json_path: also write the boxes there, see :class:`.PredictionFile`; its folder is made.
        file_format: of that file.
        batch_size: frames that are handed to the predictor at once.
        score_threshold: keep boxes of at least this score, in [0, 1]; by default 0.5 for
            detections and 0 for proposals.
        top_k: keep at most so many boxes of a frame, the best.
        categories: the classes of a detector.

    Returns:
        Counts, and the errors of the sources that were skipped.

    Raises:
        ValueError: if a result would replace one of the sources, or the boxes cannot be written in
            that format.
        OSError: if a result cannot be written.
    """
    categories = categories or Categories()
    sources = inputs.sources
    writer = PictureWriter(output_dir, sources)
    file = None
    if json_path is not None:
        file = PredictionFile(json_path, file_format, inputs, categories)
    summary = Summary()
    total = sum(count_frames(source) for source in sources)
    with tqdm(total=total, unit="image", disable=None) as bar, writer:

        def skip(_: Source, error: OSError) -> None:
            summary.skipped.append(error)
            bar.write(f"Skipped: {error}", file=sys.stderr)

        for batch in batched(read_frames(sources, skip, predictor.reader), batch_size):
            outputs = predictor([frame.image for frame in batch])
            for frame, output in zip(batch, outputs, strict=True):
                summary.frames += 1
                summary.least_score = least_score(output, score_threshold)
                instances = best_instances(output, score_threshold, top_k)
                summary.boxes += len(instances)
                if file is not None:
                    file.add(frame, instances)
                writer.write(frame, draw(frame, instances, categories))
                bar.update()
    if file is not None:
        file.write()
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
    else:
        proposals = output["proposals"].to("cpu")
        instances = Instances(
            proposals.image_size,
            pred_boxes=proposals.proposal_boxes,
            scores=proposals.objectness_logits.sigmoid(),
        )
    order = instances.scores.argsort(descending=True, stable=True)[:top_k]
    return instances[order[instances.scores[order] >= least_score(output, score_threshold)]]


def least_score(output: dict[str, Any], score_threshold: float | None) -> float:
    """The score that the boxes of an output need, as of :func:`best_instances`."""
    if score_threshold is not None:
        return score_threshold
    return 0.5 if "instances" in output else 0.0


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
