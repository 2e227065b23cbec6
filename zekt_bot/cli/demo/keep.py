"""`zekt demo --keep`: leave it running, and say what to try."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.text import Text

from zekt_bot.cli.demo.stage import NIGHTLY
from zekt_bot.cli.output import console

if TYPE_CHECKING:
    from zekt_bot.cli.demo.stage import Stage


async def keep_running(stage: Stage) -> None:
    """Say what to try, then show each dispatch as it comes, until cancelled."""
    environment, body = _environment(stage), await _next_run(stage)
    _say(stage, environment, body)
    await _watch(stage)


def _environment(stage: Stage) -> Path:
    path = stage.folder / "environment"
    path.touch(mode=0o600)
    lines = [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH\n"]
    lines += [f"export {name}={shlex.quote(value)}\n" for name, value in stage.environ.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


async def _next_run(stage: Stage) -> Path:
    """The body of a webhook that GitHub has not sent yet: one more finished run."""
    world = stage.world
    with world.github.hold() as held:
        run = await world.github.start_run(world.provider, NIGHTLY)
        await run.complete("success")
    path = stage.folder / "next-run.json"
    path.write_bytes(held[-1].body)
    return path


def _say(stage: Stage, environment: Path, body: Path) -> None:
    """Nothing here is folded, so that every command can be copied."""
    owner = stage.world.provider.owner.login
    click.echo(
        f"""
Still running until Ctrl-C. In another terminal, with its environment:

  . {environment}
  zekt deliveries list
  zekt deliveries show DELIVERY
  zekt events show CORRELATION
  curl {stage.url}/readyz

One more finished run, signed as GitHub would; the second time it is a duplicate:

  signature=$(openssl dgst -sha256 -hmac "$ZEKT_ORCHESTRATOR_WEBHOOK_SECRET" \\
    < {body} | sed 's/.* //')
  curl -i {stage.url}/webhooks/github \\
    -H 'Content-Type: application/json' -H 'X-GitHub-Event: workflow_run' \\
    -H 'X-GitHub-Delivery: by-hand-1' -H "X-Hub-Signature-256: sha256=$signature" \\
    --data-binary @{body}

Approve the second consumer before, and both receive it:

  zekt subscriptions approve {owner}/nightly {stage.world.waiting.full_name}

The simulated GitHub's API is at {stage.world.github.api_url}
"""
    )


async def _watch(stage: Stage) -> NoReturn:
    github = stage.world.github
    seen = len(github.dispatches)
    while True:
        try:
            await github.wait_for_dispatches(seen + 1, timeout=3600)
        except TimeoutError:
            continue
        for dispatch in github.dispatches[seen:]:
            seen += 1
            line = f"   dispatched {dispatch.event_type} → {dispatch.repository.full_name}"
            console().print(Text(line, style="green"))
