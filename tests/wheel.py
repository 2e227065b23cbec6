"""The wheel as a stranger gets it: built, and installed with what it needs where nothing else is.

Ask for the fixture `installed`; it is made once for all test processes, and never changed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_UV = Path(sys.executable).parent / "uv"
_WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Installed:
    """The wheel, and an environment that holds it and its dependencies alone."""

    wheel: Path
    environment: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.environment / "bin" / "python"

    async def run(self, program: str, *words: str, cwd: Path, **settings: str) -> Ended:
        """Run a program of the environment in `cwd`, with no variable but these."""
        process = await asyncio.create_subprocess_exec(
            self.environment / "bin" / program,
            *words,
            cwd=cwd,
            env={"PATH": os.defpath, "HOME": str(cwd), **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_WITHIN):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())


def install(folder: Path) -> Installed:
    """Build the wheel below `folder` and install it with what the lock names; once."""
    done = folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _uv("build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", folder / "dist")
        make_environment(folder, folder / "environment")
        done.touch()
    return Installed(next((folder / "dist").glob("*.whl")), folder / "environment")


def make_environment(folder: Path, environment: Path) -> None:
    """Make such an environment; another one for a test that changes it."""
    requirements = folder / "requirements.txt"
    wanted = ("--frozen", "--no-dev", "--no-emit-project", "--no-hashes")
    _uv("export", "--quiet", *wanted, "--output-file", requirements)
    _uv("venv", "--quiet", "--python", sys.executable, environment)
    wheels = (folder / "dist").glob("*.whl")
    target = ("--python", environment, "--requirements", requirements)
    _uv("pip", "install", "--quiet", "--no-deps", *target, *wheels)


def _uv(*words: str | Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [_UV, *words], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"uv {' '.join(map(str, words))}\n{done.stderr}"
