"""The HTTP page: its commands are run against a server, its lists compared with the code."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.docs.pages import ROOT, blocks, codes, page, section, table
from tests.programs import needs
from zekt_bot.app import open_broker, serving
from zekt_bot.config import AppCredentials, Settings
from zekt_bot.pipeline.verify import HANDLED, MOST_BYTES

PAGE = "reference/webhooks.md"
SECRET = "a secret of the tests"
SOURCES = (
    "zekt_bot/web/webhooks.py",
    "zekt_bot/web/bodies.py",
    "zekt_bot/web/deps.py",
    "zekt_bot/pipeline/verify.py",
    "zekt_bot/pipeline/store.py",
)
CODE = "".join((ROOT / name).read_text(encoding="utf-8") for name in SOURCES)


def webhook_section() -> str:
    """What stands below the webhook's address."""
    return section(page(PAGE), "`POST /webhooks/github`")


@needs("bash", "curl", "openssl")
@pytest.mark.parametrize(("number", "said", "status"), [(0, "pong", 200), (1, "error", 401)])
async def test_a_command_of_the_page_gets_the_answer_that_the_page_promises(
    number: int, said: str, status: int, sqlite_url: str
) -> None:
    settings = Settings(
        host="127.0.0.1",
        port=0,
        database_url=sqlite_url,
        orchestrator=AppCredentials(webhook_secrets=(SECRET.encode(),)),
    )
    async with open_broker(settings, server=True) as broker, serving(broker) as port:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euc", blocks(page(PAGE), "bash")[number]),
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "ZEKT_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": SECRET,
            },
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()

    body, shown = out.decode().splitlines()
    assert process.returncode == 0
    assert said in body
    assert shown == str(status)


def test_the_page_names_every_status() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", section(webhook_section(), "Answers"), re.MULTILINE)
    shown = {status for row in rows for status in row.split(", ")}
    raised = set(re.findall(r"(?:Webhook|Request)Refused\(\s*(\d{3})", CODE))
    answered = set(re.findall(r"answer\((\d{3}),", CODE))

    assert shown == raised | answered | {"404", "405"}


def test_the_page_names_every_reason_for_not_storing() -> None:
    words = re.findall(
        r"(?:return|else) \"([a-z]+_[a-z_]+)\"|(?:ignored|refused)=\"([a-z_]+)\"", CODE
    )

    shown = {row[0] for row in table(section(webhook_section(), "Answers"))}

    assert shown == {first or second for first, second in words}


def test_the_page_names_every_handled_event_and_the_limit() -> None:
    (told,) = re.findall(r"^Handled events: (.+?)\. ", webhook_section(), re.MULTILINE | re.DOTALL)

    assert set(codes(told)) == set(HANDLED)
    assert f"{MOST_BYTES:,} bytes" in webhook_section()
