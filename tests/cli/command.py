"""`zekt` as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

KEY = "a key of the tests that is long enough"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def environment(**settings: str) -> dict[str, str]:
    """An environment with nothing in it but these settings."""
    home = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**home, "ZEKT_SECRET_KEY": KEY, "LOG_LEVEL": "WARNING", **settings}


async def zekt(*words: str, **settings: str) -> Ended:
    """Run `zekt WORDS` to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_bot",
        *words,
        env=environment(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
