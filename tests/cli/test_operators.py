"""`zekt operators`: they are listed, and removed one by one."""

from __future__ import annotations

import json

from tests.cli.command import KEY, zekt
from tests.operations.setting_up import ME, MONA, open_scene
from zekt_bot.operations import setup
from zekt_bot.testing import ManualClock


async def test_operators_are_listed_and_removed(migrated_sqlite: str) -> None:
    async with open_scene(migrated_sqlite, ManualClock(), secret_keys=(KEY,)) as scene:
        await setup.become_operator(scene.broker, ME, MONA)
    alone = {"DATABASE_URL": migrated_sqlite}
    settings = {**alone, "ZEKT_OPERATORS": "ada"}
    told = await zekt("operators", "list", "--json", **settings)
    assert told.code == 0, told.err
    listed = json.loads(told.out)
    assert [(row["login"], row["made_by"]) for row in listed] == [
        ("ada", "ZEKT_OPERATORS"),
        ("mona", "setup"),
    ]
    assert "mona" in (await zekt("operators", "list", **settings)).out
    assert (await zekt("operators", "remove", "ada", **settings)).code == 3
    removed = await zekt("operators", "remove", "mona", **alone)
    assert "mona is an operator no more. There is none left" in removed.out
    assert (await zekt("operators", "remove", "mona", **settings)).code == 4
