"""`zekt completion`: a script for each shell, and what it asks for."""

from __future__ import annotations

import pytest
from click.shell_completion import BashComplete

from tests.cli.command import zekt
from zekt_bot import cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_shell_has_its_script(shell: str) -> None:
    ended = await zekt("completion", shell)
    assert ended.code == 0
    assert f"_ZEKT_COMPLETE={shell}_complete" in ended.out


@pytest.mark.parametrize(
    ("typed", "rest", "offered"),
    [
        ([], "deliv", ["deliveries"]),
        (["deliveries"], "", ["list", "replay", "show"]),
        (["deliveries", "list"], "--st", ["--state"]),
        (["deliveries", "list", "--state"], "de", ["dead"]),
    ],
)
def test_commands_options_and_states_are_completed(
    typed: list[str], rest: str, offered: list[str]
) -> None:
    found = BashComplete(cli.zekt, {}, "zekt", "_ZEKT_COMPLETE").get_completions(typed, rest)
    assert [each.value for each in found] == offered
