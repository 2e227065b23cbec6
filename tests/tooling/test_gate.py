"""The gate ends, whatever hangs, and says where; its last line can be read by a program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HANGS = """
import asyncio

async def wait_for_ever():
    await asyncio.Event().wait()

async def test_hangs():
    await wait_for_ever()
"""


SPINS = """
async def test_spins():
    while True:
        pass
"""


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a test under this gate's settings, but with little patience."""
    (folder / "test_it.py").write_text(text)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            ROOT / "pyproject.toml",
            "-p",
            "tests.conftest",
            "--timeout=6",
            folder,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_one_that_waits_fails_where_it_waits(tmp_path: Path) -> None:
    ended = run(tmp_path, HANGS)
    assert ended.returncode == 1
    assert "test_it.py:5: " in ended.stdout, ended.stdout
    assert "TimeoutError" in ended.stdout


def test_also_one_that_never_gives_way(tmp_path: Path) -> None:
    ended = run(tmp_path, SPINS)
    assert ended.returncode == 1
    assert "Timeout (>6.0s)" in ended.stdout
    assert re.search(r"test_it\.py:[34]: ", ended.stdout)


def test_the_closing_line_is_plain_also_in_colours(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    told = "\\033[32m===== \\033[1m7 passed\\033[0m in 1.2s =====\\033[0m"
    (tmp_path / "Makefile").write_text(f"lint:\ntest:\n\t@printf '{told}\\nmore\\n'\n")
    browser = tmp_path / "chromium"  # there is one, so that none is installed
    browser.touch(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    ended = subprocess.run(
        [tmp_path / ".ci/run"],
        env={**os.environ, "FORCE_COLOR": "1", "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "===== 7 passed in 1.2s ====="
