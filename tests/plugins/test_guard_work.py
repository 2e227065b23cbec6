"""The guard's work grows with the message and no faster, whatever stands in it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from tests.plugins.guarding import FOUND, GUARD


def work(body: bytes) -> int:
    """How many calls the guard makes, of its own functions and of the engines."""
    counted: Counter[str] = Counter()

    def count(frame: Any, event: str, _: Any) -> None:
        if frame.f_code.co_filename == GUARD.__file__ and event in {"call", "c_call"}:
            counted["calls"] += 1

    sys.setprofile(count)
    try:
        GUARD._clean(body)
    finally:
        sys.setprofile(None)
    return counted["calls"]


# What shapes begin with, go on with and end with, in strings that stand side by side or in others.
PIECES = st.sampled_from(
    [
        "a://b:",
        "c@",
        "eyJAAAAAA.",
        "-----BEGIN PRIVATE KEY-----",
        "-----END",
        "AKIA" + "X" * 16,
        "ghp_" + "a" * 36,
        "authorization: basic ",
        "SG.",
        "=",
        " ",
        "\n",
        "é",
        "\\",
        '"',
        "x" * 20,
    ]
)
UNITS = st.recursive(
    st.lists(PIECES, max_size=6).map("".join),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECES, inner, max_size=2),
    max_leaves=4,
)


@example("a://b:c@")
@example("a://b:" * 9)
@example({"eyJAAAAAA-": "AKIAXXXXXXXXXXXXXXXX"})
@example([["\\"]])
@given(UNITS)
def test_its_work_grows_as_the_message_does(unit: Any) -> None:
    def of(times: int) -> int:
        return work(orjson.dumps([unit] * times))

    of(1)  # what is made once
    few, more, most = of(10), of(20), of(40)
    assert most - more <= 2 * (more - few) * 1.1


@pytest.mark.parametrize("kind", FOUND)
def test_no_shape_is_looked_for_again_and_again(kind: str) -> None:
    """Its search takes four times as long over four times as much, not sixteen times: RE2's own
    work no call tells. The least of several is the machine's affair the least.
    """
    before, secret, after = FOUND[kind]
    shape = GUARD._SHAPES[list(GUARD.KINDS).index(kind)]

    def seconds(text: bytes) -> float:
        taken = []
        for _ in range(5):
            began = time.thread_time()
            for _ in shape.finditer(text):
                pass
            taken.append(time.thread_time() - began)
        return min(taken)

    for unit in (before + secret + after, before + secret[:12], secret[:6]):
        text = (unit.encode() * 20_000)[:20_000]
        assert seconds(text * 4) < 9 * max(seconds(text), 0.0005), unit


def test_a_long_key_is_read_once_whatever_stands_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def loads(text: bytes) -> Any:
        nonlocal read
        read += len(text)
        return orjson.loads(text)

    monkeypatch.setattr(GUARD, "orjson", SimpleNamespace(loads=loads, dumps=orjson.dumps))
    body = orjson.dumps({"k" * 50_000: ["a://b:c@"] * 400})
    assert len(GUARD._clean(body).redactions) == 400
    assert read <= 2 * len(body)


def test_no_shape_backtracks() -> None:
    assert {type(shape) for shape in GUARD._SHAPES} == {type(re2.compile(b"x"))}
    tokens = GUARD._TOKEN.pattern
    assert tokens.count(b"*") == tokens.count(b"*+")
