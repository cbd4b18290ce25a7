"""A table of a paper as data: the names of its rows, their configs, and the published numbers."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import shipped_dir

AVERAGE_RECALL = tuple(
    f"box_proposals/{name}"
    for name in ("AR@100", "AR@300", "AR@1000", "ARs@100", "ARm@100", "ARl@100")
)
AVERAGE_PRECISION = tuple(f"bbox/{name}" for name in ("AP", "AP50", "AP75", "APs", "APm", "APl"))


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        name: what it is called, unique in its table.
        config: name of the experiment in the zoo; None for a row that the paper quotes from others.
        published: the numbers of the paper in the order of the table's metrics, None where it has
            none.
        proposals: name of the experiment that makes the proposals, for a Fast R-CNN.
        weights: name of the experiment whose trained weights are evaluated, for a row that differs
            from it at test alone.
        tta: whether that is with test-time augmentation, as the experiment's ``tta`` says.
        fine_tunes: name of the experiment whose trained detector is fine-tuned on ``proposals``.
        seconds: published time for an image.
        overrides: what the row changes of its config, ``key=value`` as on a command line.
        adds: keys of the config, such as ``model.proposal_generator.stages.1.align``, at or below
            which it differs from that of the row before; of a table that is cumulative.
    """

    name: str
    config: str | None
    published: tuple[float | None, ...]
    proposals: str | None = None
    weights: str | None = None
    tta: bool = False
    fine_tunes: str | None = None
    seconds: float | None = None
    overrides: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()

    @property
    def experiment(self) -> str | None:
        """Config and overrides as a command line takes them; None for a quoted row."""
        return None if self.config is None else shlex.join([self.config, *self.overrides])


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        title: what it is about.
        metrics: ``task/metric`` of each column, as evaluations name them.
        split: which images the published numbers are of.
        rows: in the order of the paper.
        cumulative: whether each row is the one before it but for what it ``adds``.

    Raises:
        ValueError: if two rows have one name, or a row another number of values than there are
            metrics, or test-time augmentation of no weights, or overrides of no config.
    """

    title: str
    metrics: tuple[str, ...]
    split: str
    rows: tuple[Row, ...]
    cumulative: bool = False

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        if len(set(names)) != len(names):
            raise ValueError(f"Rows of a table need names of their own, not {names}.")
        for row in self.rows:
            if len(row.published) != len(self.metrics):
                raise ValueError(
                    f"Row '{row.name}' has {len(row.published)} published values for "
                    f"{len(self.metrics)} metrics."
                )
            if row.tta and row.weights is None:
                raise ValueError(
                    f"Row '{row.name}' is evaluated with test-time augmentation: name the "
                    "experiment whose weights are."
                )
            if row.overrides and row.config is None:
                raise ValueError(
                    f"Row '{row.name}' is quoted in the paper and has no config to override."
                )

    def choose(self, wanted: Sequence[str] = ()) -> list[Row]:
        """The rows that can be run, all or those ``wanted`` by name or by number from 1.

        Raises:
            ValueError: if there is no such row, or none that can be run.
        """
        by_key: dict[str, Row] = {}
        for number, row in enumerate(self.rows, start=1):
            by_key |= {str(number): row, row.name.casefold(): row}
        unknown = [w for w in wanted if w.casefold() not in by_key]
        if unknown:
            listed = ", ".join(f"{n} '{row.name}'" for n, row in enumerate(self.rows, start=1))
            raise ValueError(f"There is no row '{unknown[0]}': the rows are {listed}.")
        chosen = [by_key[w.casefold()] for w in wanted] if wanted else list(self.rows)
        quoted = [row.name for row in chosen if row.config is None]
        if wanted and quoted:
            raise ValueError(f"Row '{quoted[0]}' is quoted in the paper and has no config to run.")
        rows = list(dict.fromkeys(row for row in chosen if row.config is not None))
        if not rows:
            raise ValueError(
                f"All rows of '{self.title}' are quoted in the paper: none can be run."
            )
        return rows


def show(value: float) -> str:
    """A number as tables have it: per cent with one decimal, larger counts whole."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def load_tables(file: str | Path) -> dict[str, Table]:
    """The tables that a ``tables.py`` of a project defines as ``TABLES``, by name.

    Raises:
        ValueError: if there is no such file, or no tables in it.
    """
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"There are no tables at {path}: name a project that has a tables.py.")
    spec = importlib.util.spec_from_file_location(f"tables_of_{path.parent.name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tables = getattr(module, "TABLES", None)
    if not isinstance(tables, Mapping) or not all(isinstance(t, Table) for t in tables.values()):
        raise ValueError(f"{path} must define TABLES, a dict of names to Table.")
    return dict(tables)


def projects_dir() -> Path:
    """The folder of all projects, each with its ``tables.py``.

    Raises:
        FileNotFoundError: if neither a checkout nor the installed package has one.
    """
    return shipped_dir("projects", "reproduce/projects")


def find_table(projects: str | Path, key: str) -> Table:
    """A table by ``project/table``, such as ``cascade_rpn/table3``.

    Args:
        projects: the folder of all projects.
        key: what to find.

    Raises:
        ValueError: if there is no such project or table; names those there are.
    """
    folder, _, name = key.partition("/")
    files = sorted(Path(projects).glob("*/tables.py"))
    if folder not in (file.parent.name for file in files):
        known = ", ".join(f"{file.parent.name}/..." for file in files)
        raise ValueError(f"There are no tables of a project '{folder}': there are {known}.")
    tables = load_tables(Path(projects, folder, "tables.py"))
    if name not in tables:
        raise ValueError(f"There is no table '{key}': {folder} has {', '.join(tables)}.")
    return tables[name]
