"""A table beside the paper's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cascade_rpn_d2.engine.measurement import Measurement
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
        "measurement": None,
    }
    assert (content["scale"], content["iterations"], content["seed"]) == ("tiny", 650, 1)


def test_no_plot_without_a_number(report: Report, tmp_path: Path):
    empty = Report(report.key, report.table, "tiny", 650, 1, {})
    assert [f.suffix for f in write_report(empty, tmp_path)] == [".md", ".json"]


def test_times_and_data_of_ours(tmp_path: Path):
    rows = (
        Row("Quoted", None, (36.4,), seconds=0.76),
        Row("RPN", "a.py", (44.6,), seconds=0.04),
        Row("Cascade RPN", "b.py", (61.1,), seconds=0.06),
        Row("Unknown", "c.py", (50.0,), seconds=0.05),
    )
    table = Table("Times", ("box_proposals/AR@100",), "COCO test-dev", rows)
    machine = {"device": "A", "processes": 1, "versions": {"torch": "2.11.0"}}
    data = (("coco_2017_val", None),)
    report = Report(
        "p/t", table, "full", 650, 1,
        {row: {"box_proposals": {"AR@100": 30.0}} for row in rows[1:3]},
        {
            rows[1]: Measurement(data, 5000, 0.0314, 4995, machine),
            rows[2]: Measurement(data, 5000, 0.0628, 4995, machine),
        },
    )  # fmt: skip
    text = markdown(report)
    cells = [[c.strip() for c in x.strip("|").split("|")] for x in text.splitlines() if "|" in x]
    assert cells[0] == ["", "AR@100", "s / image", "x RPN"]
    assert cells[2:] == [
        ["Quoted", "36.4 /", "0.76 /", "- /"],
        ["RPN", "44.6 / 30.0", "0.04 / 0.031", "1.00 / 1.00"],
        ["Cascade RPN", "61.1 / 30.0", "0.06 / 0.063", "1.50 / 2.00"],
        ["Unknown", "50.0 /", "0.05 /", "1.25 /"],
    ]
    assert "COCO test-dev; ours are on COCO val2017 (5,000 images)." in text
    assert "without reading images, on A, torch 2.11.0." in text
    (row,) = (
        row
        for row in json.loads(write_report(report, tmp_path)[1].read_text())["rows"]
        if row["name"] == "Cascade RPN"
    )
    assert row["measurement"]["median_seconds_per_image"] == 0.0628
    assert row["measurement"]["test_data"] == [{"name": "coco_2017_val"}]
    assert (row["published_seconds"], row["published_seconds_relative"]) == (0.06, 1.5)
    assert row["seconds_relative"] == 2.0
