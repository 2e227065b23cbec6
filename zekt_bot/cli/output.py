"""What commands print: tables for people, one JSON document for programs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_NO_TERMINAL_WIDTH = 1000  # a pipe has no edge to wrap at
_GAP = 2

STATE_STYLES = {
    "dispatched": "green",
    "confirmed": "green",
    "completed": "green",
    "success": "green",
    "pending": "yellow",
    "retrying": "yellow",
    "blocked": "red",
    "dead": "red",
    "failed": "red",
    "failure": "red",
}

as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON document.")


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column: its title and what it shows of a row."""

    title: str
    value: Callable[[Mapping[str, Any]], Any]
    right: bool = False


def console() -> Console:
    """Standard output; plain and as wide as needed when it is no terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, no_color=True, width=_NO_TERMINAL_WIDTH)


def print_json(value: Any) -> None:
    """Print one JSON document; times are UTC and end in Z."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
    click.echo(text.decode())


def print_table(
    columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], out: Console | None = None
) -> None:
    """Print a table with a line a row; where that would not fit, a block of lines a row."""
    shown = [[cell(column.value(row)) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    widths = [
        max(len(title), *(row[n].cell_len for row in shown)) if shown else len(title)
        for n, title in enumerate(titles)
    ]
    out = out or console()
    if sum(widths) + _GAP * (len(columns) - 1) > out.width:
        for row in shown:
            out.print(_block(titles, row))
            out.print()
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column.title, no_wrap=True, justify="right" if column.right else "left")
    for row in shown:
        table.add_row(*row)
    out.print(table)


def _block(titles: Sequence[str], row: Sequence[Text]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in zip(titles, row, strict=True):
        table.add_row(title, value)
    return table


def cell(value: Any) -> Text:
    """A value as text. What strangers wrote can neither colour nor steer the terminal."""
    if value is None:
        return Text("-", style="dim")
    text = plain(moment(value) if isinstance(value, datetime) else str(value))
    return Text(text, style=STATE_STYLES.get(text, ""))


def plain(text: str) -> str:
    """`text` on one line; what cannot be printed is shown as `?`."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def moment(value: datetime) -> str:
    """A time to the second, in UTC."""
    return value.strftime("%Y-%m-%d %H:%M:%SZ")
