"""What is shown to people can be read, and only read."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from zekt_bot.cli.output import Column, cell, plain, print_table


@given(st.text())
def test_plain_text_is_one_printable_line(text: str) -> None:
    assert plain(text).isprintable()


def test_nothing_is_shown_as_a_dash() -> None:
    assert cell(None).plain == "-"


COLUMNS = (Column("a title", lambda row: row["a"]), Column("number", lambda row: row["b"]))
ROWS = [{"a": "x" * 30, "b": 1}, {"a": "y", "b": 22}]


@pytest.mark.parametrize("width", [20, 45, 200])
def test_a_list_is_whole_in_any_terminal(width: int) -> None:
    out = Console(width=width, record=True, file=io.StringIO())
    print_table(COLUMNS, ROWS, out)
    said = out.export_text()
    lines = [line.rstrip() for line in said.splitlines()]
    assert all(len(line) <= width for line in lines)
    assert "".join(said.split()).count("x") == 30
    assert any("number" in line for line in lines)
    assert ("a title" in lines[0] and "number" in lines[0]) == (width >= 45)
