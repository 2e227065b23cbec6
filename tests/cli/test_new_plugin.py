"""`zekt new-plugin` writes a plugin that works, and whose tests pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command import zekt
from tests.own_pytest import run

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_it_writes_passes_its_own_tests(tmp_path: Path) -> None:
    ended = await zekt("new-plugin", "zekt-quiet-hours", "--into", str(tmp_path))
    assert ended.code == 0, ended.err
    folder = tmp_path / "zekt-quiet-hours"
    assert f"cd {folder}" in ended.out
    assert "2 passed" in await run(folder)


@pytest.mark.parametrize("name", ["Quiet", "quiet_hours", "-quiet", "quiet--hours", "../quiet", ""])
async def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    ended = await zekt("new-plugin", "--into", str(tmp_path), "--", name)
    assert ended.code == 3
    assert "is no name for a plugin" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["audit", "zekt", "json", "class", "conftest", "pytest", "zekt-bot"]
)
async def test_a_name_that_is_taken_is_refused(name: str, tmp_path: Path) -> None:
    ended = await zekt("new-plugin", name, "--into", str(tmp_path))
    assert ended.code == 3
    assert f"{name} is taken: choose another name, such as zekt-{name}." in ended.err


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    ended = await zekt("new-plugin", "mine", "--into", str(tmp_path))
    assert ended.code == 3
    assert "is there already" in ended.err
