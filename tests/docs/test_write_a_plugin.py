"""A stranger follows `docs/how-to/write-a-plugin.md` word for word."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.docs.pages import blocks, page, section

PAGE = page("how-to/write-a-plugin.md")
_REPLACED = re.compile(
    r"in place of all\s+that is in `([^`]+)`:\n\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


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
    code, said = await shell(f"{first}\npwd", tmp_path)
    assert (code, "2 passed" in said) == (0, True), said

    folder = Path(said.splitlines()[-1])
    told = section(PAGE, "2. Make it yours")
    test, plugin = _REPLACED.findall(told)
    assert [test[1], plugin[1]] == blocks(told, "python")
    for (name, text), code_then, then in ((test, 1, "1 failed"), (plugin, 0, "1 passed")):
        assert (folder / name).is_file()
        (folder / name).write_text(text)
        code, said = await shell("python -m pytest", folder)
        assert (code, then in said) == (code_then, True), said

    (install,) = blocks(section(PAGE, "4. Run it in your server"), "text")
    assert install.split()[:2] == ["pip", "install"]
    assert (folder / install.split()[2] / "pyproject.toml").is_file()


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
