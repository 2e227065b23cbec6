"""What commands print: tables and facts for people, one JSON document for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import RenderableType

_NO_TERMINAL_WIDTH = 1000  # a pipe has no edge to wrap at
_GAP = "  "
_STEERING = re.compile(r"[^\x20-\x7e]")

STATE_STYLES = {
    **dict.fromkeys(("dispatched", "confirmed", "completed", "success", "approved"), "green"),
    **dict.fromkeys(("active", "published", "allow", "ok", "done"), "green"),
    **dict.fromkeys(("pending", "retrying", "requested", "invited", "paused", "rests"), "yellow"),
    **dict.fromkeys(("blocked", "dead", "failed", "failure", "rejected", "revoked"), "red"),
    **dict.fromkeys(("block", "suspended", "deleted", "set_aside"), "red"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column: its title, and what it shows of a row: a field, or what is made of it.

    `under`: where the table would be too wide, the value goes beneath its row, in these words.
    """

    title: str
    value: str | Callable[[Any], Any]
    right: bool = False
    under: str | None = None

    def of(self, row: Any) -> Any:
        """The value in a row."""
        if not isinstance(self.value, str):
            return self.value(row)
        return row[self.value] if isinstance(row, Mapping) else getattr(row, self.value)


def console() -> Console:
    """Standard output; plain and as wide as needed when it is no terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, no_color=True, width=_NO_TERMINAL_WIDTH)


def print_json(value: Any) -> None:
    """Print one JSON document; times are UTC and end in Z."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()
    click.echo("\n".join(harmless_json(line) for line in text.split("\n")))


def harmless_json(line: str) -> str:
    """A line of JSON that says the same, but in which nothing can steer a terminal."""
    return _STEERING.sub(lambda match: _escaped(match.group()), line)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    halves = character.encode("utf-16-be")
    return "".join(f"\\u{halves[n : n + 2].hex()}" for n in range(0, len(halves), 2))


def print_table(columns: Sequence[Column], rows: Iterable[Any], out: Console | None = None) -> None:
    """Print a table with a line a row.

    Where that would not fit, columns that may stand beneath their row do, the last one first; where
    that does not help, a row is a block of lines.
    """
    out = out or console()
    shown = [[cell(column.of(row)) for column in columns] for row in rows]
    widths = [
        max(len(column.title), *(row[n].cell_len for row in shown)) if shown else len(column.title)
        for n, column in enumerate(columns)
    ]
    across = _across(columns, widths, out.width)
    if across is None:
        for row in shown:
            out.print(_grid(zip((column.title for column in columns), row, strict=True)))
            out.print()
        return
    titles = [Text(column.title, style="bold") for column in columns]
    _print_line(out, columns, widths, [titles[n] for n in across], across)
    out.print("─" * (sum(widths[n] for n in across) + len(_GAP) * (len(across) - 1)), style="dim")
    for row in shown:
        _print_line(out, columns, widths, [row[n] for n in across], across)
        beneath = [
            (columns[n].under or "{}").format(row[n].plain)
            for n in range(len(columns))
            if n not in across and row[n].plain not in {"", "-", "0"}
        ]
        if beneath:
            out.print(
                Padding(Text(" · ".join(beneath), style="dim", overflow="fold"), (0, 0, 0, 2))
            )


def _across(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int] | None:
    """Which columns stand on a row's line; None: not even the fewest fit."""
    across = list(range(len(columns)))
    movable = [n for n in across if columns[n].under is not None]
    while sum(widths[n] for n in across) + len(_GAP) * (len(across) - 1) > room:
        if not movable:
            return None
        across.remove(movable.pop())
    return across


def _print_line(
    out: Console,
    columns: Sequence[Column],
    widths: Sequence[int],
    cells: Sequence[Text],
    across: Sequence[int],
) -> None:
    line = Text()
    for n, text in zip(across, cells, strict=True):
        fill = " " * (widths[n] - text.cell_len)
        line.append(_GAP if n != across[0] else "")
        line.append_text(Text(fill).append_text(text) if columns[n].right else text.copy())
        line.append("" if columns[n].right or n == across[-1] else fill)
    out.print(line, no_wrap=True, crop=False, overflow="ignore")


def print_facts(facts: Mapping[str, Any], out: Console | None = None) -> None:
    """Print what is known of one thing, a line each; what there is not is left out."""
    known = ((name, value) for name, value in facts.items() if value not in (None, "", (), []))
    (out or console()).print(
        _grid((name, v if isinstance(v, Text) else cell(v)) for name, v in known)
    )


def print_marked(lines: Iterable[tuple[Text, str, str]], out: Console | None = None) -> None:
    """Print a mark, a name and a sentence a line; a sentence that is long goes on below itself."""
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for mark, name, said in lines:
        table.add_row(mark, Text(plain(name), "bold"), Text(plain(said)))
    (out or console()).print(table)


def _grid(pairs: Iterable[tuple[str, RenderableType]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in pairs:
        table.add_row(title, value)
    return table


def cell(value: Any) -> Text:
    """A value as text. What strangers wrote can neither colour nor steer the terminal."""
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("-", style="dim")
    text = plain(_words(value))
    return Text(text, style=STATE_STYLES.get(text, ""))


def _words(value: Any) -> str:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def plain(text: str) -> str:
    """`text` on one line; what cannot be printed is shown as `?`."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def paragraphs(text: str) -> str:
    """`text` with its line breaks; what cannot be printed is shown as `?`."""
    return "\n".join(plain(line) for line in text.strip().splitlines())


def moment(value: datetime) -> str:
    """A time to the second, in UTC."""
    return value.strftime("%Y-%m-%d %H:%M:%SZ")
