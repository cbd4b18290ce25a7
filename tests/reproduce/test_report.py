"""A table beside the paper's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cascade_rpn_d2.reproduce import Report, Row, Table, markdown, write_report

ROWS = (
    Row("Before", "a.py", (44.6, 58.3)),
    Row("After", "b.py", (48.2, 58.0), overrides=("model.x=1",)),
    Row("Later", "c.py", (57.4, None)),
)


@pytest.fixture
def report() -> Report:
    table = Table(
        "Parts", ("box_proposals/AR@100", "box_proposals/AR@1000"), "COCO val2017", ROWS, True
    )
    measured = {
        ROWS[0]: {"box_proposals": {"AR@100": 30.0, "AR@1000": 40.04}},
        ROWS[1]: {"box_proposals": {"AR@100": 33.26, "AR@1000": float("nan")}},
    }
    return Report("project/table3", table, "tiny", 650, 1, measured)


def test_values_in_the_order_of_the_metrics(report: Report):
    assert report.values(ROWS[0]) == (30.0, 40.04)
    assert report.values(ROWS[1]) == (33.26, None), "a metric without a number is no number"
    assert report.values(ROWS[2]) == (None, None)


def test_markdown(report: Report):
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown(report).splitlines()
        if line.startswith("|")
    ]
    assert cells[0] == ["", "AR@100", "AR@1000"]
    assert cells[2] == ["Before", "44.6 / 30.0", "58.3 / 40.0"]
    assert cells[3] == ["After", "48.2 / 33.3", "58.0 /"]
    assert cells[4] == ["Later", "57.4 /", "- /"]
    assert cells[7] == ["After", "+3.6 / +3.3", "-0.3 /"]
    assert cells[8] == ["Later", "+9.2 /", "- /"]
    assert "650 iterations, seed 1" in markdown(report)


def test_files(report: Report, tmp_path: Path):
    files = write_report(report, tmp_path / "new")
    assert [f.name for f in files] == [f"project_table3.{s}" for s in ("md", "json", "png")]
    assert all(f.stat().st_size for f in files)
    content = json.loads(files[1].read_text())
    assert content["rows"][1] == {
        "name": "After",
        "config": "b.py",
        "overrides": ["model.x=1"],
        "published": [48.2, 58.0],
        "ours": [33.26, None],
    }
    assert (content["scale"], content["iterations"], content["seed"]) == ("tiny", 650, 1)


def test_no_plot_without_a_number(report: Report, tmp_path: Path):
    empty = Report(report.key, report.table, "tiny", 650, 1, {})
    assert [f.suffix for f in write_report(empty, tmp_path)] == [".md", ".json"]
