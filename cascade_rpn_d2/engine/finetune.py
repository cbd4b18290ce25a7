"""Fine-tuning of a trained detector on precomputed proposals (Guided Anchoring, section 3.5).

One call does it all: it drops the proposal generator of the detector, writes the proposals of
another one for the images of training and test, trains on them and evaluates. Everything lies in
the output folder, and a sequence that was stopped goes on with what is there:

* ``detector.pth``: the weights that the training starts from
* ``proposals_<dataset>.npz``: the best proposals of each image of a dataset
* ``evaluation_before.json``: of the detector as it was
* what :func:`.train_loop.train` writes
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from ..checkpoint import Checkpointer
from ..checkpoint.categories import categories_of_file
from ..checkpoint.finetune import prepare_finetuning
from ..config.finetune import regression_weights, take_over_detector
from ..data.proposal_dataset import pair_with_files
from ..files.digest import sha256_of
from ..model_zoo import find_weights, get_config, instantiate_model
from .categories import Categories, take_over_classes
from .dump_identity import digest, run_identity, weights_sha256
from .evaluation import Results, evaluate
from .image_options import read_alike
from .model_choices import ModelChoice
from .processes import of_main_process
from .proposal_data import check_proposals, takes_proposals
from .proposal_dump import dump_proposals
from .run_folder import hold_run_folder
from .run_once import claim, fingerprint, results_in, train_once
from .setup import prepare_run, require_registered

logger = logging.getLogger(__name__)

_DETECTOR = "detector.pth"
_BEFORE = "evaluation_before"
# Of all Faster R-CNN in Detectron2's zoo.
_USUAL_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@dataclass(frozen=True)
class TrainedDetector:
    """The detector that is fine-tuned.

    Args:
        weights: file or address of its checkpoint.
        config: the LazyConfig it was trained with. None: it is the network of the fine-tuning's
            own config, trained with the regression weights 10 10 5 5, as Detectron2's zoo is.
    """

    weights: str
    config: DictConfig | None = None

    @classmethod
    def choose(cls, config_file: str | None, weights: str | None) -> TrainedDetector:
        """The detector that a command line names.

        Args:
            config_file: name in the zoo, or path of a LazyConfig.
            weights: file or address; with a config, by default the zoo's for it.

        Raises:
            ValueError: if neither is given, config or weights do not exist, or the config is of no
                Fast or Faster R-CNN.
            FileNotFoundError: if there is no such file.
        """
        if config_file is None and weights is None:
            raise ValueError(
                "There is no detector to fine-tune: give --detector-weights, --detector-config or "
                "both."
            )
        found = find_weights(config_file or "", weights)
        detector = cls(found, None if config_file is None else get_config(config_file))
        detector.regression_weights()
        return detector

    def regression_weights(self) -> tuple[float, ...]:
        """The reciprocals of the standard deviations that it was trained with."""
        return _USUAL_WEIGHTS if self.config is None else regression_weights(self.config)

    def adapt(self, config: DictConfig) -> None:
        """Make a fine-tuning's config one for this detector, for ``adapt`` of
        :func:`~.setup.setup_config`."""
        if self.config is not None:
            take_over_detector(config, self.config)


def finetune_with_proposals(
    config: DictConfig,
    detector: TrainedDetector,
    generator: ModelChoice | None = None,
    *,
    evaluate_before: bool = False,
) -> dict[str, Results]:
    """Prepare a trained detector, write proposals, train and evaluate; or go on with that.

    Call it in all processes of a run.

    Args:
        config: a training config of Fast R-CNN, as :func:`~.setup.setup_config` gives it.
        detector: where the training starts.
        generator: what makes the proposals; None to read the files that the config names.
        evaluate_before: also evaluate the detector as it was, with its own proposals.

    Returns:
        The evaluation ``"after"`` the fine-tuning, and ``"before"`` it if asked for; empty on other
        processes than the main one.

    Raises:
        ValueError: if the parts do not fit together, or the output folder holds another run.
        OSError, FloatingPointError: as :func:`~.train_loop.train`.
    """
    _require_fast_rcnn(config)
    _match_categories(config, detector)
    if evaluate_before:
        _require_generator(config, detector)
    folder = Path(config.train.output_dir)
    config.train.init_checkpoint = str(folder / _DETECTOR)
    if generator is None:
        check_proposals(config, training=True)
    else:
        _name_files(config, folder)
    mark = of_main_process(lambda: _fingerprint(config, detector, generator))
    with hold_run_folder(folder):
        claim(folder, mark)
        prepare_run(config)

        of_main_process(lambda: prepare_detector(config, detector))
        if generator is not None:
            _dump(config, generator)
        results = {}
        if evaluate_before:
            results["before"] = _evaluate_before(config, detector)
        results["after"] = train_once(config, mark)
        return results


def _require_fast_rcnn(config: DictConfig) -> None:
    loaders = [config.dataloader[part] for part in _parts(config)]
    reads = all(takes_proposals(x) and x.mapper.get("precomputed_proposal_topk") for x in loaders)
    if not reads or config.model.get("proposal_generator") is not None:
        raise ValueError(
            "The config is not of Fast R-CNN on precomputed proposals: give one such as "
            "guided_anchoring/finetune_faster_rcnn_with_proposals_r50_fpn.py."
        )


def _match_categories(config: DictConfig, detector: TrainedDetector) -> None:
    """Have the data in the order of the detector's classes, which a fine-tuning keeps."""
    known = Categories(*categories_of_file(detector.weights))
    if not known.names and detector.config is not None:
        known = Categories.from_config(detector.config)
    for part in _parts(config):
        require_registered(config, part)
    take_over_classes(config, known.names)


def _require_generator(config: DictConfig, detector: TrainedDetector) -> None:
    if detector.config is None or detector.config.model.get("proposal_generator") is None:
        raise ValueError(
            "To evaluate the detector as it was takes its proposal generator: give the config of a "
            "Faster R-CNN as --detector-config, such as cascade_rpn/faster_rcnn_r50_fpn_1x.py."
        )
    if "test" not in _parts(config):
        raise ValueError("There is nothing to evaluate the detector on: give --test-data.")


def _parts(config: DictConfig) -> tuple[str, ...]:
    """The parts of the data that are used."""
    return ("train",) if config.dataloader.get("evaluator") is None else ("train", "test")


def _name_files(config: DictConfig, folder: Path) -> None:
    """Have the proposals of every dataset in the output folder."""
    for part in _parts(config):
        dataset = config.dataloader[part].dataset
        names = [dataset.names] if isinstance(dataset.names, str) else dataset.names
        dataset.proposal_files = [str(folder / f"proposals_{name}.npz") for name in names]


def _files(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Each dataset that is used with its file of proposals; one that is used twice comes once."""
    datasets = [config.dataloader[part].dataset for part in _parts(config)]
    pairs = [pair for d in datasets for pair in pair_with_files(d.names, d.proposal_files)]
    yield from dict.fromkeys(pairs)


def _fingerprint(
    config: DictConfig, detector: TrainedDetector, generator: ModelChoice | None
) -> str:
    """What decides the outcome: not where weights and proposals lie, but what they are."""
    if generator is None:
        proposals = [sha256_of(file) for _, file in _files(config)]
    else:
        weights = find_weights(generator.config_file, generator.weights)
        proposals = [digest(run_identity(_feeding(config, generator), weights, (), None, 0))]
    start = [weights_sha256(detector.weights), detector.regression_weights()]
    marked = copy.deepcopy(config)
    marked.train.init_checkpoint = digest(start)
    for part in _parts(config):
        marked.dataloader[part].dataset.proposal_files = proposals
    return fingerprint(marked)


def _feeding(config: DictConfig, generator: ModelChoice) -> DictConfig:
    """The config of the generator, which reads the files that the fine-tuning reads."""
    return read_alike(generator.config(), config)


def prepare_detector(config: DictConfig, detector: TrainedDetector) -> None:
    """Write the weights that a fine-tuning starts from, unless its training has begun.

    Args:
        config: of the fine-tuning; ``train.init_checkpoint`` is the file to write.
        detector: what they are made of.

    Raises:
        OSError, ValueError: as :func:`~..checkpoint.finetune.prepare_finetuning`.
    """
    if Path(config.train.output_dir, "last_checkpoint").exists():
        return
    prepare_finetuning(
        detector.weights,
        config.train.init_checkpoint,
        instantiate_model(config),
        from_weights=detector.regression_weights(),
        to_weights=regression_weights(config),
    )


def _dump(config: DictConfig, generator: ModelChoice) -> None:
    limits = [config.dataloader[part].mapper.precomputed_proposal_topk for part in _parts(config)]
    for dataset, file in _files(config):
        if of_main_process(Path(file).is_file):
            logger.info("The proposals of %s are in %s already.", dataset, file)
            continue
        dump_proposals(
            _feeding(config, generator),
            find_weights(generator.config_file, generator.weights),
            dataset,
            file,
            config_name=generator.config_file,
            topk=max(limits),
            device=config.train.device,
        )


def _evaluate_before(config: DictConfig, detector: TrainedDetector) -> Results:
    """The evaluation of the detector as it was, on the same images."""
    assert detector.config is not None
    done = of_main_process(lambda: results_in(Path(config.train.output_dir), _BEFORE))
    if done is not None:
        return done
    before = copy.deepcopy(config)
    before.model = copy.deepcopy(detector.config.model)
    heads, fine_tuned = before.model.roi_heads, config.model.roi_heads
    heads.num_classes = fine_tuned.num_classes
    # As low as for the fine-tuned detector: it alone is worth a few tenths of AP.
    heads.box_predictor.test_score_thresh = fine_tuned.box_predictor.test_score_thresh
    model = instantiate_model(before).to(config.train.device)
    Checkpointer(model).load(detector.weights, checkpointables=[])
    return evaluate(before, model, name=_BEFORE)
