"""`zekt setup-link`: the way into the setup pages, as often as it is wanted."""

from __future__ import annotations

from tests.cli.command import zekt


async def test_a_link_is_printed_as_often_as_it_is_wanted(migrated_sqlite: str) -> None:
    settings = {"DATABASE_URL": migrated_sqlite, "ZEKT_PUBLIC_URL": "https://zekt.example"}
    links = [await zekt("setup-link", **settings) for _ in range(2)]
    assert all(one.out.startswith("https://zekt.example/setup?token=") for one in links)
    assert links[0].out != links[1].out
