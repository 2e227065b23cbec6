"""The API's page: its command is run as a job would, and its examples fit the models."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import msgspec

from tests.docs.pages import blocks, page
from tests.programs import needs
from tests.stage import clock
from tests.web.api.calling import OURS, open_api
from zekt_bot.web.api.models import (
    Completion,
    Confirmation,
    Confirmed,
    MessageStored,
    NewMessage,
    PublicKeys,
)

if TYPE_CHECKING:
    from pathlib import Path

    from zekt_bot.testing import ManualClock

__all__ = ["clock"]

PAGE = "reference/api.md"


@needs("bash", "curl", "sed")
async def test_the_command_of_the_page_sends_a_message(
    migrated_sqlite: str, clock: ManualClock, tmp_path: Path
) -> None:
    (command,) = blocks(page(PAGE), "bash")
    async with open_api(migrated_sqlite, clock) as api:
        await api.stage.serve("release-published")
        run = await api.run()
        # The run asks for a token for the public URL, which leads to this server.
        (tmp_path / ".curlrc").write_text(f'connect-to = "localhost:8080:127.0.0.1:{api.port}"')
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", command),
            env={
                **api.stage.github.oidc.environment(run),
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(tmp_path),
                "ZEKT_URL": OURS,
                "GITHUB_REPOSITORY": run.repository.full_name,
                "GITHUB_RUN_ID": str(run.id),
            },
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()

    assert process.returncode == 0
    masked, _, answer = out.partition(b"\n")
    assert masked.startswith(b"::add-mask::ey")
    assert json.loads(answer)["consumersNotified"] == 1


def test_the_examples_of_the_page_are_what_the_api_takes_and_gives() -> None:
    shown = blocks(page(PAGE), "json")
    models = (NewMessage, MessageStored, PublicKeys, Confirmation, Confirmed, Completion)
    for text, model in zip(shown, models, strict=True):
        assert msgspec.json.decode(text, type=model)
