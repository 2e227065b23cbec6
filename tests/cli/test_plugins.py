"""`zekt plugins`: what is loaded, from where, and what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.command import zekt
from zekt_bot.plugins import BUILT_IN

if TYPE_CHECKING:
    from pathlib import Path

DEAF = "from zekt_bot import hookimpl\n@hookimpl\nasync def zekt_github_event(event): ...\n"


async def test_plugins_alone_lists_them() -> None:
    ended = await zekt("plugins")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (await zekt("plugins", "list")).out
    assert all(name in ended.out for name in BUILT_IN)


async def test_a_plugin_is_shown_with_its_problems(tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    ended = await zekt("plugins", "show", "deaf", "--json", ZEKT_PLUGINS_DIR=str(tmp_path))
    assert json.loads(ended.out) == {
        "name": "deaf",
        "version": None,
        "origin": str(tmp_path / "deaf.py"),
        "hooks": ["zekt_github_event"],
        "events": [],
        "handlers": [],
        "problems": ["It hears of no event: it lacks zekt_github_events."],
    }
    people = await zekt("plugins", "show", "deaf", ZEKT_PLUGINS_DIR=str(tmp_path))
    assert "It hears of no event" in people.out


async def test_one_that_is_not_loaded_is_not_found() -> None:
    ended = await zekt("plugins", "show", "audit", ZEKT_DISABLED_PLUGINS="audit")
    assert ended.code == 4
    assert "No plugin audit is loaded" in ended.err


async def test_one_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    ended = await zekt("plugins", ZEKT_PLUGINS_DIR=str(tmp_path))
    assert ended.code == 9
    assert "The plugin broken cannot be imported: ZeroDivisionError" in ended.err
