"""Logs: one line a step, as JSON for programs or plain for people."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

Style = Literal["console", "json"]
LIBRARY = """
import logging, sys
from zekt_bot import logs
logs.configure("INFO", sys.argv[1])
logging.getLogger("lib").info("chatter")
logging.getLogger("lib").warning("two\\nlines of %s", "trouble")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("lib").exception("failed")
"""


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def written(style: Style, level: str = "INFO") -> tuple[Any, io.StringIO]:
    out = io.StringIO()
    logs.configure(level, style, out)
    return structlog.get_logger(), out


def test_json_is_one_object_a_line_with_level_time_and_fields() -> None:
    log, out = written("json")
    log.info("delivery.sent", delivery_id="dlv_1", status=204)
    line = json.loads(out.getvalue())
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert line == {
        "event": "delivery.sent",
        "level": "info",
        "delivery_id": "dlv_1",
        "status": 204,
    }


@given(st.dictionaries(st.from_regex(r"f_[a-z]{1,5}", fullmatch=True), st.text(st.characters())))
def test_whatever_is_said_stays_on_one_line_of_json(said: dict[str, str]) -> None:
    log, out = written("json")
    log.info("step", **said)
    (line,) = out.getvalue().splitlines()
    assert json.loads(line).items() >= said.items()


def events(out: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in out.getvalue().splitlines()]


async def test_what_a_turn_of_the_loop_says_is_written_together_when_it_ends() -> None:
    log, out = written("json")
    log.info("one")
    log.info("two")
    assert events(out) == []
    await asyncio.sleep(0)
    assert events(out) == ["one", "two"]


async def test_a_warning_is_written_at_once_behind_what_was_said_before() -> None:
    log, out = written("json")
    log.info("one")
    log.warning("two")
    assert events(out) == ["one", "two"]


def test_a_loop_that_ended_too_early_holds_back_no_line_of_the_next() -> None:
    log, out = written("json")
    loop = asyncio.new_event_loop()
    loop.call_soon(log.info, "one")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert events(out) == []

    async def go_on() -> None:
        log.info("two")
        await asyncio.sleep(0)

    asyncio.run(go_on())
    assert events(out) == ["one", "two"]


def test_what_json_does_not_know_is_written_all_the_same() -> None:
    log, out = written("json")
    log.info("step", moment=datetime(2026, 7, 1, tzinfo=UTC), raw=b"\xff")
    assert set(json.loads(out.getvalue())) == {"event", "level", "timestamp", "moment", "raw"}


@pytest.mark.parametrize(
    "beside", ["", "\u00fc", "\udc00"], ids=["plain", "accent", "half a character"]
)
def test_a_time_is_written_alike_whatever_stands_beside_it(beside: str) -> None:
    log, out = written("json")
    log.info("step", moment=datetime(2026, 7, 1, tzinfo=UTC), day=date(2026, 7, 1), beside=beside)
    line = json.loads(out.getvalue())
    assert line["day"] == "2026-07-01"
    assert line["moment"] == "2026-07-01T00:00:00Z"
    assert line["timestamp"].endswith("Z")
    assert out.getvalue().isascii()


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_line_has_its_level_and_its_time(style: Style) -> None:
    log, out = written(style)
    log.warning("step")
    assert "warning" in out.getvalue()
    assert re.search(r"\d{4}-\d\d-\d\dT[\d:.]+Z", out.getvalue())


@dataclass
class Key:
    """A value that does not show all of itself."""

    name: str
    secret: str = field(repr=False)


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize("beside", ["", "\udc00"], ids=["plain", "half a character"])
def test_what_a_value_hides_is_not_logged(style: Style, beside: str) -> None:
    log, out = written(style)
    log.info("step", key=Key("mine", "hush"), several=[Key("mine", "hush")], beside=beside)
    assert "mine" in out.getvalue()
    assert "hush" not in out.getvalue()


def test_the_console_shows_fields_without_colours_off_a_terminal() -> None:
    log, out = written("console")
    log.info("delivery.sent", delivery_id="dlv_1")
    text = out.getvalue()
    assert "delivery.sent" in text
    assert "delivery_id=dlv_1" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("style", ["console", "json"])
def test_an_exception_is_shown_with_its_trace(style: Style) -> None:
    log, out = written(style)
    try:
        raise KeyError("no such thing")
    except KeyError:
        log.exception("step.failed")
    assert "Traceback" in out.getvalue()
    assert "no such thing" in out.getvalue()
    if style == "json":
        assert "KeyError" in json.loads(out.getvalue())["exception"]


@pytest.mark.parametrize("style", ["console", "json"])
def test_what_is_below_the_level_is_not_written(style: Style) -> None:
    log, out = written(style, "WARNING")
    log.info("chatter")
    assert out.getvalue() == ""
    log.warning("trouble")
    assert "trouble" in out.getvalue()


def test_a_settled_process_makes_each_logger_once() -> None:
    log, out = written("json")
    log.info("one")
    logs.settle()
    log.info("two")
    log.debug("chatter")
    logs.configure("DEBUG", "json", io.StringIO())
    log.info("three")  # a logger of its own would have gone there
    assert events(out) == ["one", "two", "three"]


def test_logs_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    structlog.get_logger().info("step")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "step"


def library(style: Style) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, style], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "chatter" not in done.stderr
    return done.stderr


def test_a_librarys_warnings_are_json_too_where_a_program_reads() -> None:
    warned, failed = (json.loads(line) for line in library("json").splitlines())
    assert (warned["event"], warned["level"]) == ("two\nlines of trouble", "warning")
    assert (failed["event"], failed["level"]) == ("failed", "error")
    assert "ZeroDivisionError" in failed["exception"]
    assert warned["timestamp"] <= failed["timestamp"]


def test_a_librarys_warnings_reach_a_person() -> None:
    text = library("console")
    assert "lines of trouble" in text
    assert "ZeroDivisionError" in text
