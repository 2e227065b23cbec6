"""A stranger follows `docs/how-to/write-a-plugin.md` word for word."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.docs.pages import blocks, page, section

PAGE = page("how-to/write-a-plugin.md")


async def shell(script: str, folder: Path) -> tuple[int, str]:
    """Run a script of the page; gives its exit code and what it said."""
    running = await asyncio.create_subprocess_exec(
        *("sh", "-ec", script),
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await running.communicate())[0].decode()
    assert running.returncode is not None
    return running.returncode, said


async def test_from_nothing_to_a_plugin_of_ones_own(tmp_path: Path) -> None:
    (first,) = blocks(section(PAGE, "1. Let Zekt write one that works"), "sh")
    code, said = await shell(first, tmp_path)
    assert (code, "2 passed" in said) == (0, True), said

    folder = tmp_path / "zekt-quiet-hours"
    test, plugin = blocks(section(PAGE, "2. Make it yours"), "python")
    own_test = folder / "test_zekt_quiet_hours.py"
    own_test.write_text(test)
    code, said = await shell("python -m pytest", folder)
    assert (code, "1 failed" in said) == (1, True), said
    (folder / "zekt_quiet_hours.py").write_text(plugin)
    code, said = await shell("python -m pytest", folder)
    assert (code, "1 passed" in said) == (0, True), said


def test_the_files_that_it_names_are_those_that_are_written() -> None:
    for name in (
        "zekt_quiet_hours.py",
        "test_zekt_quiet_hours.py",
        "conftest.py",
        "pyproject.toml",
    ):
        assert f"| `{name}` |" in PAGE


def test_it_says_which_licence_a_published_plugin_needs() -> None:
    assert "GPL-3.0-or-later" in section(PAGE, "Publish it")
