"""What is shown to people can be read, and only read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.cli.output import cell, plain


@given(st.text())
def test_plain_text_is_one_printable_line(text: str) -> None:
    assert plain(text).isprintable()


def test_nothing_is_shown_as_a_dash() -> None:
    assert cell(None).plain == "-"
