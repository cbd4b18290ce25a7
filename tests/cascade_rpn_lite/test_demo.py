"""`cascade-rpn demo`; that it trains and draws is seen with the wheel, in test_distributions."""

from __future__ import annotations

from cascade_rpn_d2.engine import comparison
from cascade_rpn_lite.cli import main


def test_both_are_trained_alike_and_shown(monkeypatch, tmp_path, capsys):
    seen = {}

    def train_and_compare(configs, figure):
        seen.update(configs)
        return f"| a table, with {figure.name} |"

    monkeypatch.setattr(comparison, "train_and_compare", train_and_compare)
    words = ["--device", "cpu", "train.max_iter=7", "--output-dir", str(tmp_path)]
    assert main(["demo", *words]) == 0
    assert list(seen) == ["RPN", "Cascade RPN"]
    for config, name in zip(seen.values(), ("rpn", "cascade_rpn"), strict=True):
        assert (config.train.max_iter, config.train.device) == (7, "cpu")
        assert config.train.output_dir == str(tmp_path / name)
    printed = capsys.readouterr().out
    assert "after 7 iterations each" in printed and "| a table, with proposals.png |" in printed
    assert str(tmp_path / "proposals.png") in printed


def test_a_misprint_is_one_sentence_and_trains_nothing(sentence_of, tmp_path):
    words = ["--device", "cpu", "--output-dir", str(tmp_path / "out")]
    assert "train.max_itr" in sentence_of("demo", *words, "train.max_itr=7")
    assert not (tmp_path / "out").exists()
