"""`cascade-rpn benchmark` on tiny maps and models."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cascade_rpn_d2.benchmark import BOXES, DTYPES, LAYOUTS, MODES, Plan
from cascade_rpn_lite import benchmark
from cascade_rpn_lite.cli import main, parse

TINY = ["--quick", "--device", "cpu", "--threads", "1", "--image-size", "64x96", "--channels", "4"]
DEMO = ["--cascade-rpn", "demo/cascade_rpn.py", "--rpn", "demo/rpn.py"]


def test_it_prints_the_tables_and_writes_them(tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    few = ["--repeats", "1", "--output-dir", str(out)]
    modes = ["--mode", "op", "head", "train-step"]
    assert main(["benchmark", *TINY, *DEMO, *few, *modes]) == 0
    captured = capsys.readouterr()
    for words in ("* CPU: ", "* threads: 1", "## Operator", "## Proposal head", "forward / F.conv"):
        assert words in captured.out
    assert "this run had no GPU" in captured.out and "stride 4" not in captured.out
    assert "op, forward / F.conv2d: " in captured.err
    content = json.loads((out / "benchmark.json").read_text())
    assert content["environment"]["threads"] == "1"
    assert {row["mode"] for row in content["rows"]} == {"op", "head", "train-step"}
    forward = content["rows"][0]
    assert forward["target"] == 1.3 and forward["met"] == (forward["ratio"] <= 1.3)
    assert forward["pairs"] == 1 and forward["case"]["image_size"] == [64, 96]
    assert "stride 4" in {row["level"] for row in content["rows"]}
    assert (out / "benchmark.md").read_text().strip() in captured.out
    assert (out / "cells_cpu_float32_1.png").stat().st_size > 5000


@pytest.mark.slow
def test_it_runs_from_anywhere_end_to_end(repository, tmp_path):
    command = [sys.executable, str(repository / "tools/benchmark.py"), *TINY, *DEMO]
    command += ["--repeats", "1", "--mode", "end-to-end", "--detectors", "demo/rpn.py"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "time of rpn / time of rpn" in done.stdout and "images/s" in done.stdout
    assert not list(tmp_path.iterdir())


def plan_of(*words: str) -> Plan:
    return benchmark.make_plan(parse(benchmark, words, "benchmark"))


def test_by_default_everything_is_measured():
    plan = plan_of("--device", "cpu")
    assert plan.modes == list(MODES) and len(plan.cases) == 2**5
    assert plan.budget.min_pairs == 5 and plan.channels == 256


def test_quick_leaves_what_is_asked_for():
    plan = plan_of("--device", "cpu", "--quick", "--batch", "3", "4")
    assert {case.batch for case in plan.cases} == {3, 4} and len(plan.cases) == 4
    assert {(c.image_size, c.layout, c.boxes) for c in plan.cases} == {
        ((480, 640), "contiguous", "trained")
    }
    assert plan.budget.min_pairs == 3 and plan.budget.seconds == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda:99"], "cannot be used here"),
        (["--dtype", "tf32"], "tf32 is a precision of GPUs"),
        (["--rpn", "demo/rnp.py"], "did you mean"),
        (["--detectors", "absent"], "No config file or config of the zoo is named 'absent'"),
        (["--rpn", "cascade_rpn/rpn_r50_fpn_1x.py"], "64 channels"),
        (["--ga-rpn", "demo/ga_rnp.py"], "did you mean"),
        (["--backbone", "demo/rpn.py"], "has no backbone with deformable blocks"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(sentence_of, options, message):
    assert message in sentence_of("benchmark", *TINY, *DEMO, "--mode", "head", *options)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--image-size", "640"), ("--image-size", "0x64"), ("--batch", "0"), ("--mode", "speed")],
)
def test_values_that_cannot_be_name_their_option(refused, option, value):
    assert option in refused("benchmark", option, value)


def test_what_can_be_asked_for_is_what_the_package_measures():
    assert list(benchmark.MODES) == list(MODES)
    assert list(benchmark.DTYPES) == list(DTYPES) and list(benchmark.LAYOUTS) == list(LAYOUTS)
    assert list(benchmark.BOXES) == list(BOXES)
    default = Plan(modes=(), cases=())
    plan = plan_of("--device", "cpu")
    for name in ("channels", "cascade_rpn", "rpn", "ga_rpn", "detectors", "backbone"):
        assert getattr(plan, name) == getattr(default, name), name
