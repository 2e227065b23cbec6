"""The API under Schemathesis: no failure of ours, and no answer that the document does not have."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT
from tests.web.api.calling import open_api

if TYPE_CHECKING:
    from zekt_bot.testing import ManualClock

# Those that ask whether each refusal is right are our own tests' affair: a token names one run.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


async def ran(*command: str, cwd: Path, **environment: str) -> str:
    """What it printed; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode()[-20_000:]
    return out.decode()


@pytest.fixture
async def schemathesis(tmp_path: Path) -> str:
    """Its program, in an environment of its own."""
    shutil.copytree(
        ROOT / "tools/schemathesis", tmp_path / "tool", ignore=shutil.ignore_patterns(".venv")
    )
    uv = str(Path(sys.executable).with_name("uv"))
    await ran(uv, "sync", "--locked", "--quiet", "--python", sys.executable, cwd=tmp_path / "tool")
    return str(tmp_path / "tool/.venv/bin/schemathesis")


@pytest.mark.long
@pytest.mark.parametrize("signed", [True, False], ids=["with a token", "without"])
async def test_whatever_is_sent_the_answer_is_one_of_the_documents(
    migrated_sqlite: str, clock: ManualClock, tmp_path: Path, schemathesis: str, *, signed: bool
) -> None:
    async with open_api(migrated_sqlite, clock, api_per_minute=0) as api:
        await api.stage.serve("*")
        run = await api.run()
        url = f"http://127.0.0.1:{api.port}"
        token = api.token(run) if signed else "none"
        said = await ran(
            *(schemathesis, "run", f"{url}/api/openapi.json", "--url", url),
            *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)),
            *("--max-examples", "100", "--continue-on-failure", "--no-color"),
            # They answer 501, which is meant.
            *("--exclude-path-regex", "^/api/orchestration/"),
            cwd=tmp_path,
        )
    assert " passed" in said
