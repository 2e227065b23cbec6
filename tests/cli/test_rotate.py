"""`zekt rotate-secrets`: what it says; what it does is in tests/operations/test_rotation.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.command import KEY, zekt
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from pathlib import Path

NEWER = "a newer key of the tests that is long too"


async def test_what_is_stored_is_sealed_anew_and_the_former_key_can_go(
    migrated_sqlite: str,
) -> None:
    settings = {"DATABASE_URL": migrated_sqlite}
    assert (await zekt("status", **settings)).code == 0  # which seals the first value
    both = {**settings, "ZEKT_SECRET_KEY": f"{NEWER},{KEY}"}
    for sealed in (1, 0):
        told = await zekt("rotate-secrets", "stored", **both)
        assert (told.code, told.out.split()[0]) == (0, str(sealed))
    assert (await zekt("status", **{**settings, "ZEKT_SECRET_KEY": NEWER})).code == 0
    assert (await zekt("status", **settings)).code != 0


async def test_of_an_app_that_is_not_stored_it_says_where_to_look(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_text(private_key(0), encoding="ascii")
    for words in (
        ("webhook-secret", "orchestrator", "--grace", "0"),
        ("private-key", "oauth", str(file)),
    ):
        told = await zekt("rotate-secrets", *words, DATABASE_URL=migrated_sqlite)
        assert told.code != 0
        assert "is stored here" in told.err
