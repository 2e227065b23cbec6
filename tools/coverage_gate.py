"""Fails when a folder's coverage, branches included, is under its floor.

Usage: python tools/coverage_gate.py REPORT, where REPORT is what `tools/measured.py` wrote.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

FLOORS = {
    "zekt_bot/domain": 100,
    "plugins": 100,
    "zekt_bot/pipeline": 95,
    "zekt_bot/operations": 95,
}


@dataclass
class Folder:
    """What was measured below one folder."""

    covered: int = 0
    total: int = 0
    gaps: list[str] = field(default_factory=list)

    def add(self, path: str, measured: dict[str, Any]) -> None:
        """Count one file, and remember what of it never ran."""
        summary = measured["summary"]
        covered = summary["covered_lines"] + summary["covered_branches"]
        self.covered += covered
        self.total += covered + summary["missing_lines"] + summary["missing_branches"]
        lines = [str(line) for line in measured["missing_lines"]]
        branches = [f"{start}->{end}" for start, end in measured["missing_branches"]]
        if lines or branches:
            self.gaps.append(f"{path}: {', '.join(lines + branches)}")

    def reaches(self, floor: int) -> bool:
        """Whether enough ran. A folder without a single statement proves nothing."""
        return self.total > 0 and self.covered * 100 >= floor * self.total

    @property
    def percent(self) -> float:
        """For people: rounded down, so that 100.0 means all of it."""
        return self.covered * 1000 // self.total / 10 if self.total else 0.0


def measure(report: dict[str, Any], name: str) -> Folder:
    """Sum up the files of a report that lie below the folder `name`."""
    folder = Folder()
    for path, measured in sorted(report["files"].items()):
        if PurePosixPath(path.replace("\\", "/")).is_relative_to(name):
            folder.add(path, measured)
    return folder


def judge(report: dict[str, Any], floors: dict[str, int]) -> tuple[bool, list[str]]:
    """Whether every folder reaches its floor, and the lines that say so."""
    if not report["meta"]["branch_coverage"]:
        return False, ["coverage: nothing was measured, or no branches were"]
    passed, lines = True, []
    for name, floor in floors.items():
        folder = measure(report, name)
        reached = folder.reaches(floor)
        passed = passed and reached
        verdict = "ok" if reached else "TOO LOW" if folder.total else "NOTHING MEASURED"
        lines.append(f"coverage {name:<20} {folder.percent:5.1f} %  floor {floor} %  {verdict}")
        if not reached:
            lines += [f"    {gap}" for gap in folder.gaps]
    return passed, lines


def main(arguments: list[str]) -> int:
    """Read the report named on the command line and judge it."""
    report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    passed, lines = judge(report, FLOORS)
    print("\n".join(lines))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
