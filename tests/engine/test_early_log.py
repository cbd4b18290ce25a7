"""What is logged before a run has a folder is on the screen and in its log.txt, once."""

from __future__ import annotations

import json
import logging

from cascade_rpn_d2.engine import setup_config
from cascade_rpn_d2.engine.setup import prepare_run, start_logging
from tests.engine.conftest import TINY_CONFIG
from tests.engine.tiny_data import write_dataset


def test_what_was_found_in_the_data_is_shown_and_written_once(tmp_path, capsys):
    spec = write_dataset(tmp_path / "data")
    labels = tmp_path / "data/annotations.json"
    content = json.loads(labels.read_text())
    content["annotations"][0]["bbox"] = [0, 0, 0, 0]
    labels.write_text(json.dumps(content))
    start_logging()
    config = setup_config(TINY_CONFIG, train_data=spec, output_dir=str(tmp_path / "run"))
    shown = capsys.readouterr().out
    prepare_run(config)
    logging.getLogger("detectron2.data").info("afterwards")
    shown += capsys.readouterr().out
    written = (tmp_path / "run/log.txt").read_text()
    for text in (
        "5 images (0 without a box), 14 boxes of 1 classes (box); 1 boxes dropped, 0 cut",
        "1 of 15 boxes are left out of training; the first: annotations[0] (id 1) of image 0.png",
        "the run does not evaluate",
        "output in",
        "afterwards",
    ):
        assert shown.count(text) == written.count(text) == 1, text
    lines = written.splitlines()
    assert "Registered" in lines[0] and "afterwards" in lines[-1]
    assert "] cascade_rpn_d2.data.coco_folder INFO: Registered" in lines[0]


def test_the_folder_of_a_second_run_has_what_came_before_it_alone(tmp_path):
    logger = logging.getLogger("cascade_rpn_d2.data")
    for name in ("first", "second"):
        start_logging()
        logger.info("before the %s", name)
        start_logging(str(tmp_path / name))
        logger.info("in the %s", name)
    for name, other in (("first", "second"), ("second", "first")):
        written = (tmp_path / name / "log.txt").read_text()
        assert written.count(f"before the {name}") == written.count(f"in the {name}") == 1
        assert other not in written
