"""What a long run saw, written into docs/reliability.md by the run.

A test says it with `record_property(FIGURES, "50 kills: nothing lost")` as its last act.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FIGURES = "figures"
PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- written by make test-long -->", "<!-- until here -->"
_HEAD = ("| Test | Seen | When, where |", "|---|---|---|")


class LongRun:
    """A pytest plugin: hears what the tests say, in whichever process they run."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what a test that passed has said."""
        said = dict(report.user_properties).get(FIGURES)
        if report.when == "call" and report.passed and said:
            self._seen[report.nodeid.removeprefix("tests/")] = str(said)

    def pytest_sessionfinish(self) -> None:
        """Write it down; rows of tests that did not run stay."""
        if self._seen:
            where = f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {cpu_count()} cores"
            rows = {test: f"{seen} | {where}" for test, seen in self._seen.items()}
            PAGE.write_text(merged(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")


def merged(page: str, rows: dict[str, str]) -> str:
    """The page with these rows, by test, in place of those it has of the same tests."""
    before, _, rest = page.partition(f"{_BEGIN}\n")
    written, _, after = rest.partition(_END)
    kept = [line for line in written.splitlines() if line.startswith("| `")]
    told = {line.split("`")[1]: line for line in kept}
    told |= {test: f"| `{test}` | {seen} |" for test, seen in rows.items()}
    block = "\n".join((*_HEAD, *(told[test] for test in sorted(told))))
    return f"{before}{_BEGIN}\n{block}\n{_END}{after}"
