"""`cascade-rpn reproduce`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.tiny_data import write_dataset


def run(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "tools/reproduce.py", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cascade_rpn/table9"], "no table 'cascade_rpn/table9': cascade_rpn has table1, table2"),
        (["nuts/table1"], "no tables of a project 'nuts'"),
        (["cascade_rpn/table1", "--rows", "GA"], "no row 'GA': the rows are 1 'SharpMask"),
        (["cascade_rpn/table3", "train.max_itre=1"], "no key 'train.max_itre'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, sentence_of, arguments: list[str], message: str):
    given = ["--num-gpus", "0", "--output-dir", str(tmp_path / "out")]
    assert message in sentence_of("reproduce", *arguments, *given)
    assert not (tmp_path / "out").exists()


def test_data_to_train_on_comes_with_data_to_test_on(refused):
    assert "together" in refused("reproduce", "cascade_rpn/table3", "--train-data", "a:b.json")


@pytest.mark.slow
def test_two_rows(repository: Path, tmp_path: Path):
    data = write_dataset(tmp_path)
    outcome = run(
        repository,
        *("cascade_rpn/table3", "--num-gpus", "0", "--output-dir", str(tmp_path / "out")),
        *("--train-data", data, "--test-data", data),
        *("--rows", "+ Cascade", "4", "train.max_iter=2"),
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert "| + Alignment" in outcome.stdout
    content = json.loads((tmp_path / "out/cascade_rpn_table3.json").read_text())
    assert [row["ours"][0] is not None for row in content["rows"]] == [
        *(False, False, True, True, False, False, False)
    ]
    assert content["iterations"] == 2
