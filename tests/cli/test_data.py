"""`zekt export` and `zekt backup`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.command import zekt

if TYPE_CHECKING:
    from pathlib import Path


async def test_rows_come_one_a_line(migrated_sqlite: str) -> None:
    settings = {"DATABASE_URL": migrated_sqlite}
    for words in (("pause",), ("resume",)):
        assert (await zekt(*words, **settings)).code == 0
    ended = await zekt("export", **settings)
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["verb"] for row in rows] == ["person:sending:paused", "person:sending:resumed"]
    assert rows[0]["at"].endswith("Z")
    assert (await zekt("export", "events", "--from", "1h", **settings)).out == ""


async def test_a_backup_is_a_database_with_all_rows(migrated_sqlite: str, tmp_path: Path) -> None:
    assert (await zekt("pause", DATABASE_URL=migrated_sqlite)).code == 0
    kept = tmp_path / "kept.db"
    ended = await zekt("backup", str(kept), DATABASE_URL=migrated_sqlite)
    assert (ended.code, "ZEKT_SECRET_KEY" in ended.out) == (0, True)
    listed = await zekt("pauses", "list", "--json", DATABASE_URL=f"sqlite:///{kept}")
    assert [row["subject"] for row in json.loads(listed.out)] == ["all"]
    again = await zekt("backup", str(kept), DATABASE_URL=migrated_sqlite)
    assert again.code == 3


async def test_a_backup_names_the_key_that_opens_it(sqlite_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": sqlite_url, "ZEKT_SECRET_KEY": ""}
    ended = await zekt("backup", str(tmp_path / "kept.db"), **settings)
    assert ended.code == 0, ended.err
    assert f"Keep {sqlite_url.removeprefix('sqlite:///')}.key with it" in ended.out


async def test_an_account_is_erased_only_with_yes(migrated_sqlite: str) -> None:
    for words, code in ((("aurora-labs",), 2), (("aurora-labs", "--yes"), 4)):
        ended = await zekt("accounts", "erase", *words, DATABASE_URL=migrated_sqlite)
        assert ended.code == code
