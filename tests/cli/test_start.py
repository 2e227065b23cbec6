"""A command starts without what only others need."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from tests.cli.command import environment
from zekt_bot import cli

_LOADED = re.compile(r"^import time: .*\| +(\w+)", re.MULTILINE)


async def loaded(*words: str, **settings: str) -> set[str]:
    """The packages that an interpreter with these arguments loads."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "importtime", *words),
        env=environment(**settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, said = await running.communicate()
    assert running.returncode == 0, said
    return set(_LOADED.findall(said.decode()))


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["--version"], {}),
        (["--help"], {}),
        (["completion", "bash"], {}),
        ([], {"_ZEKT_COMPLETE": "bash_complete", "COMP_WORDS": "zekt ", "COMP_CWORD": "1"}),
    ],
    ids=["version", "help", "completion", "a word completed"],
)
async def test_what_needs_no_broker_loads_click_and_no_other_library(
    words: list[str], settings: dict[str, str]
) -> None:
    bare = await loaded("-c", "")  # an environment may load something of its own

    found = await loaded("-m", "zekt_bot", *words, **settings)

    assert found - bare - sys.stdlib_module_names == {"click", "zekt_bot"}
    assert "asyncio" not in found


def test_the_list_of_commands_says_of_each_what_its_own_help_says() -> None:
    for name, listed in cli.zekt.commands.items():
        command = listed.make_context(name, [], resilient_parsing=True).command
        assert command is not listed
        assert command.name == name
        assert command.get_short_help_str(1000) == listed.get_short_help_str(1000)


async def test_a_command_loads_neither_the_server_nor_what_migrates(migrated_sqlite: str) -> None:
    found = await loaded("-m", "zekt_bot", "services", "list", DATABASE_URL=migrated_sqlite)

    assert "sqlalchemy" in found
    assert not found & {"aiohttp_jinja2", "alembic", "jinja2", "mako", "prometheus_client"}
