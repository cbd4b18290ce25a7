"""Tables and files of rows."""

from __future__ import annotations

from dataclasses import replace

from cascade_rpn_d2.benchmark import Comparison, Row, markdown, read_json, tables, write_json
from cascade_rpn_d2.benchmark.row import PYRAMID, missing_row, timed_row, unmet_demands
from cascade_rpn_d2.benchmark.targets import CASCADE_CONV, FORWARD_CONV
from tests.benchmark.cases import TINY

OUTCOME = Comparison(1.254, (1.2, 1.4), 512.3, 4.0, 7)
ROWS = [
    timed_row("op", FORWARD_CONV, TINY, OUTCOME, PYRAMID),
    timed_row("op", FORWARD_CONV, TINY, OUTCOME, "stride 4"),
    timed_row("op", FORWARD_CONV, replace(TINY, threads=2), OUTCOME, PYRAMID),
    *unmet_demands([], ["head"], ["cuda"])[:1],
    Row("head", "speed", TINY, ratio=4.0, value=2.0, reference=0.5, unit="images/s", target=3.0),
    missing_row("head", CASCADE_CONV, TINY, "no time"),
]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ratios_come_first_then_the_target_and_whether_it_is_met():
    operator, head = tables(ROWS)
    title, _, common, _, header, _, *lines = operator.splitlines()
    assert title == "## Operator"
    names = ["ratio", "quartiles", "target", "met", "what", "measured", "reference", "pairs"]
    assert cells(header) == [*names, "threads"]
    first = ["1.25", "1.2 to 1.4", "<= 1.3", "yes", FORWARD_CONV, "512 ms", "4 ms", "7"]
    assert [cells(line) for line in lines] == [[*first, "1"], [*first, "2"]]
    assert "image 64x96" in common and "dtype float32" in common and "threads" not in common
    lines = [cells(line) for line in head.splitlines()[6:]]
    assert [line[0] for line in lines] == ["not measured", "4", "not measured"]
    assert lines[0][2:5] == ["<= 3", "", lines[0][4]] and "this run had no CPU" in lines[0][4]
    assert lines[1][3] == "no" and lines[1][5:7] == ["2 images/s", "0.5 images/s"]
    assert lines[2][4] == f"{CASCADE_CONV}: no time"


def test_published_ratios_have_a_column_where_there_are_any_and_a_note():
    rows = [
        timed_row("location-threshold", "model", TINY, OUTCOME, published=7.8 / 8.2),
        timed_row("location-threshold", "head", replace(TINY, batch=2), OUTCOME),
    ]
    table = tables(rows)[0].splitlines()
    assert table[2].startswith("Random weights: ") and "TITAN X" in table[2]
    assert cells(table[6])[-2:] == ["published", "batch"]
    assert [cells(line)[-2:] for line in table[8:]] == [["0.951", "1"], ["", "2"]]


def test_single_levels_are_shown_when_asked_for():
    operator, _ = tables(ROWS, per_level=True)
    levels = [cells(line)[-1] for line in operator.splitlines()[6:]]
    assert levels == [PYRAMID, "stride 4", PYRAMID]


def test_the_header_names_the_machine():
    text = markdown({"CPU": "abacus", "torch": "2.9"}, ROWS)
    assert text.startswith("# Benchmark\n\n* CPU: abacus\n* torch: 2.9\n\n## Operator\n")


def test_a_table_of_missing_rows_only():
    (table,) = tables(unmet_demands([], ["train-step"], ["cpu"]))
    assert table.count("not measured") == 2 and "In all rows" not in table


def test_files_are_read_as_they_were_written(tmp_path):
    write_json(tmp_path / "b.json", {"CPU": "abacus"}, ROWS)
    assert read_json(tmp_path / "b.json") == ({"CPU": "abacus"}, ROWS)
