"""The tables of the papers: their rows as data, and how to run them."""

from .page import page_table
from .report import Report, markdown, write_report
from .runner import Setting, reproduce
from .scale import SCALES, Scale
from .table import Row, Table, find_table, load_tables, projects_dir

__all__ = [
    "SCALES",
    "Report",
    "Row",
    "Scale",
    "Setting",
    "Table",
    "find_table",
    "load_tables",
    "markdown",
    "page_table",
    "projects_dir",
    "reproduce",
    "write_report",
]
