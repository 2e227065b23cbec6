"""Each benchmark runs to its end, so small that its figures say nothing."""

from __future__ import annotations

import re
import time
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from benchmarks import harness
from benchmarks.__main__ import NAMES
from benchmarks.harness import Options
from benchmarks.sampling import sampled

if TYPE_CHECKING:
    from pathlib import Path

_ROWS = {  # of the tables that each prints
    "ingest": 3,
    "delivery": 2,
    "end_to_end": 1 + 1,
    "messages": 2,
    "large": 1,
    "waiting": 2 + 1,
    "scale": 2 + 1,
    "workers": 2,
    "fairness": 2,
    "idle": 1,
}
_NUMBER = re.compile(r"[\d,]+(\.\d+)?( %)?")


def trial(database: str) -> Options:
    return Options("trial", record=False, runs=1, databases=(database,))


def figures(printed: str) -> list[list[str]]:
    """The cells of the tables' rows, without their headings."""
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line[:1] == "|"]
    headings = [at - 1 for at, cells in enumerate(lines) if cells[0] == "---"]
    return [cells for at, cells in enumerate(lines) if at not in headings and cells[0] != "---"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "workers"])
async def test_a_script_runs_on_sqlite(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    await import_module(f"benchmarks.{name}").main(trial("sqlite"))
    shown(name, capsys)


async def test_workers_run_on_postgresql(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZEKT_TEST_DATABASE_URL", postgres_server)
    await import_module("benchmarks.workers").main(trial("postgresql"))
    shown("workers", capsys)


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = capsys.readouterr().out
    assert f"## {name}" in printed
    rows = figures(printed)
    assert len(rows) == _ROWS[name]
    assert all(_NUMBER.fullmatch(row[-1]) for row in rows), rows


async def test_on_sqlite_alone_there_are_no_workers_to_compare(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await import_module("benchmarks.workers").main(trial("sqlite"))
    assert "SQLite has one worker" in capsys.readouterr().out


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by benchmarks/{name}.py -->", f"<!-- {name}: end -->"


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_a_section(name: str) -> None:
    page = harness.RECORD.read_text(encoding="utf-8")
    assert [page.count(mark) for mark in marks(name)] == [1, 1]


def test_a_record_replaces_the_script_s_own_section(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "benchmarks.md"
    before = harness.RECORD.read_text(encoding="utf-8")
    page.write_text(before, encoding="utf-8")
    monkeypatch.setattr(harness, "RECORD", page)
    asked = Options("trial", record=True, runs=1, databases=("sqlite",))
    harness.report(asked, "scale", "a former one")
    harness.report(asked, "scale", "a later one")
    after = page.read_text(encoding="utf-8")
    start, end = marks("scale")
    assert "a later one" in after.partition(start)[2].partition(end)[0]
    assert "a former one" not in after
    assert after.partition(start)[0] == before.partition(start)[0]
    assert after.partition(end)[2] == before.partition(end)[2]


def test_a_profiled_process_tells_where_its_time_went() -> None:
    with harness.profiled() as environ:
        with sampled(environ["ZEKT_BENCH_PROFILE"]):
            until = time.process_time() + 0.05
            while time.process_time() < until:
                pass
        told = harness.where(environ, "this test")
    assert "| CPU time of this test | share |" in told
