"""`zekt audit checkpoint` and `verify`: what operators keep and what they are told."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.cli.command import zekt

if TYPE_CHECKING:
    from pathlib import Path


async def checkpoint_of_two(folder: Path, settings: dict[str, str]) -> Path:
    """The file of a checkpoint of two entries."""
    for words in (("pause",), ("resume",)):
        assert (await zekt(*words, **settings)).code == 0
    kept = folder / "kept.json"
    kept.write_text((await zekt("audit", "checkpoint", **settings)).out)
    return kept


async def test_a_changed_entry_is_named_and_the_code_says_so(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": migrated_sqlite}
    kept = await checkpoint_of_two(tmp_path, settings)
    fine = await zekt("audit", "verify", "--checkpoint", str(kept), **settings)
    assert (fine.code, fine.err) == (0, "")
    assert fine.out == "2 entries in 1 chains are what was written.\n"
    assert "no checkpoint" in (await zekt("audit", "verify", **settings)).err
    with sqlite3.connect(urlsplit(migrated_sqlite).path) as database:
        database.execute("DELETE FROM audit WHERE seq = 2")
    found = await zekt("audit", "verify", **settings)
    assert found.code == 1
    assert "chain-0000:2: the end is cut off" in found.out
    as_json = await zekt("audit", "verify", "--json", **settings)
    assert (as_json.code, json.loads(as_json.out)["intact"]) == (1, False)


async def test_a_beginning_cut_off_is_named_and_a_file_of_another_version_refused(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": migrated_sqlite}
    kept = await checkpoint_of_two(tmp_path, settings)
    with sqlite3.connect(urlsplit(migrated_sqlite).path) as database:
        database.execute("DELETE FROM audit")
        database.execute("UPDATE audit_chains SET first_seq = 3, first_previous = head_hash")
    assert (await zekt("audit", "verify", **settings)).code == 0
    found = await zekt("audit", "verify", "--checkpoint", str(kept), **settings)
    assert found.code == 1
    assert "chain-0000:1: deleted before their time: 1 to 2" in found.out
    kept.write_text(kept.read_text().replace('"times"', '"other"'))
    refused = await zekt("audit", "verify", "--checkpoint", str(kept), **settings)
    assert refused.code not in {0, 1}
    assert "make one with `zekt audit checkpoint`" in refused.err
