from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tools import coverage_gate

if TYPE_CHECKING:
    from pathlib import Path


def measured(lines: int, missing: list[int], branches: list[list[int]]) -> dict[str, Any]:
    """A file as it is reported: with two branches, of which `branches` never ran."""
    return {
        "summary": {
            "covered_lines": lines - len(missing),
            "missing_lines": len(missing),
            "covered_branches": 2 - len(branches),
            "missing_branches": len(branches),
        },
        "missing_lines": missing,
        "missing_branches": branches,
    }


def judge(files: dict[str, Any], floor: int = 100) -> tuple[bool, str]:
    report = {"meta": {"branch_coverage": True}, "files": files}
    passed, lines = coverage_gate.judge(report, {"plugins": floor})
    return passed, "\n".join(lines)


def test_all_of_it_passes() -> None:
    assert judge({"plugins/auth.py": measured(8, [], [])})[0]


def test_one_branch_that_never_ran_is_under_100() -> None:
    passed, text = judge({"plugins/auth.py": measured(9998, [], [[3, 5]])})
    assert not passed
    assert "99.9 %" in text
    assert "plugins/auth.py: 3->5" in text


def test_a_floor_counts_the_whole_folder() -> None:
    files = {
        "plugins/auth.py": measured(8, [1], []),
        "plugins/deeper/audit.py": measured(28, [], []),
    }
    assert judge(files, 97)[0]
    assert not judge(files, 98)[0]


def test_other_folders_do_not_count() -> None:
    files = {
        "plugins/auth.py": measured(8, [], []),
        "plugins_of_others/x.py": measured(8, [1], []),
        "zekt_bot/plugins.py": measured(8, [1], []),
    }
    assert judge(files)[0]


def test_a_folder_without_code_proves_nothing() -> None:
    passed, text = judge({})
    assert not passed
    assert "NOTHING MEASURED" in text


def test_a_report_without_branches_proves_nothing() -> None:
    report = {"meta": {"branch_coverage": False}, "files": {}}
    assert coverage_gate.judge(report, {})[0] is False


@pytest.mark.parametrize(("missing", "code"), [([], 0), ([4], 1)])
def test_the_exit_code_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: list[int], code: int
) -> None:
    files = {f"{folder}/x.py": measured(8, missing, []) for folder in coverage_gate.FLOORS}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"meta": {"branch_coverage": True}, "files": files}))
    assert coverage_gate.main([str(report)]) == code
    assert "coverage zekt_bot/domain" in capsys.readouterr().out
