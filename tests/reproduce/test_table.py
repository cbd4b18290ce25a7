"""Tables as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade_rpn_d2.reproduce import Row, Table, find_table, load_tables

TABLE = Table(
    "Fruit",
    ("box_proposals/AR@100",),
    "COCO val2017",
    (Row("quoted", None, (None,)), Row("Apple", "a.py", (1.0,)), Row("Pear", "b.py", (2.0,))),
)


def test_all_rows_with_a_config():
    assert [row.name for row in TABLE.choose()] == ["Apple", "Pear"]


def test_rows_by_name_and_number_once_each():
    assert [row.name for row in TABLE.choose(["3", "apple", "Pear"])] == ["Pear", "Apple"]


def test_unknown_row():
    with pytest.raises(ValueError, match=r"no row 'Plum': the rows are 1 'quoted', 2 'Apple', 3"):
        TABLE.choose(["Plum"])


def test_quoted_row_cannot_be_run():
    with pytest.raises(ValueError, match="'quoted' is quoted in the paper"):
        TABLE.choose(["1"])


def test_rows_have_names_of_their_own():
    with pytest.raises(ValueError, match="names of their own"):
        Table("t", (), "s", (Row("a", None, ()), Row("a", None, ())))


def test_a_value_for_each_metric():
    with pytest.raises(ValueError, match="'a' has 2 published values for 1 metrics"):
        Table("t", ("m",), "s", (Row("a", None, (1.0, 2.0)),))


def test_augmentation_is_of_an_evaluation():
    with pytest.raises(ValueError, match="'a' is evaluated with test-time augmentation: name"):
        Table("t", (), "s", (Row("a", "a.py", (), tta=True),))


def test_overrides_are_of_a_config():
    with pytest.raises(
        ValueError, match="'a' is quoted in the paper and has no config to override"
    ):
        Table("t", (), "s", (Row("a", None, (), overrides=("model.x=1",)),))


def test_an_experiment_is_what_a_command_line_takes():
    assert Row("a", None, ()).experiment is None
    assert Row("a", "a.py", ()).experiment == "a.py"
    row = Row("a", "a.py", (), overrides=("model.x=1", "model.y=[1, 2]"))
    assert row.experiment == "a.py model.x=1 'model.y=[1, 2]'"


def test_load_tables(tmp_path: Path):
    project = tmp_path / "fruit"
    project.mkdir()
    with pytest.raises(ValueError, match="no tables at"):
        load_tables(project / "tables.py")
    (project / "tables.py").write_text("TABLES = [1]")
    with pytest.raises(ValueError, match="must define TABLES"):
        load_tables(project / "tables.py")
    (project / "tables.py").write_text(
        "from cascade_rpn_d2.reproduce import Row, Table\n"
        "TABLES = {'table1': Table('t', ('m',), 's', (Row('a', None, (1.0,)),))}"
    )
    assert find_table(tmp_path, "fruit/table1").title == "t"
    with pytest.raises(ValueError, match="no table 'fruit/table2': fruit has table1"):
        find_table(tmp_path, "fruit/table2")
    with pytest.raises(ValueError, match="no tables of a project 'nuts': there are fruit/"):
        find_table(tmp_path, "nuts/table1")
