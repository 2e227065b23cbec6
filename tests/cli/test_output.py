"""What is shown to people can be read, and only read."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from zekt_bot.__main__ import open_streams, print_anywhere
from zekt_bot.cli.output import (
    Column,
    cell,
    console,
    harmless_json,
    plain,
    print_facts,
    print_marked,
    print_table,
)


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


WIDE = (
    Column("state", "state"),
    Column("who", "who"),
    Column("id", "id", under="{}"),
    Column("tries", "tries", right=True, under="tries {}"),
)


def printed(width: int) -> list[str]:
    """A table in a terminal of this width, line by line."""
    out = Console(width=width, record=True, file=io.StringIO())
    print_table(WIDE, [{"state": "dead", "who": "kestrel", "id": "i" * 10, "tries": 3}], out)
    return [line.rstrip() for line in out.export_text().splitlines()]


def test_what_does_not_fit_goes_beneath_its_row_the_last_column_first() -> None:
    assert printed(40)[2:] == ["dead   kestrel  iiiiiiiiii      3"]
    assert printed(30)[2:] == ["dead   kestrel  iiiiiiiiii", "  tries 3"]
    assert printed(22)[2:] == ["dead   kestrel", "  iiiiiiiiii · tries 3"]


def test_facts_leave_out_what_there_is_not() -> None:
    out = Console(width=60, record=True, file=io.StringIO())
    print_facts({"name": "x", "none": None, "empty": "", "no": False, "many": ["a", "b"]}, out)
    assert [line.split() for line in out.export_text().splitlines()] == [
        ["name", "x"],
        ["no", "no"],
        ["many", "a,", "b"],
    ]


@given(st.text())
def test_json_says_the_same_and_cannot_steer(text: str) -> None:
    line = json.dumps(text, ensure_ascii=False)
    harmless = harmless_json(line)
    assert json.loads(harmless) == text
    assert harmless.isprintable()


def test_what_an_encoding_lacks_is_printed_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    print_anywhere()
    console().print("✓ done")
    sys.stdout.flush()
    assert raw.getvalue() == b"\\u2713 done\n"


def test_a_closed_stream_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        with stream:
            assert (stream.writable(), stream.isatty()) == (True, False)


def test_a_marked_sentence_goes_on_below_itself() -> None:
    out = Console(width=24, record=True, file=io.StringIO())
    print_marked([(Text("✕"), "clock", "It is off: set it by NTP.")], out)
    lines = [line.rstrip() for line in out.export_text().splitlines()]
    assert lines == ["✕  clock  It is off: set", "          it by NTP."]
