"""`zekt subscriptions durable` and `ordered`, as the terminal has them."""

from __future__ import annotations

from tests.cli.command import zekt
from tests.cli.test_catalog import CONSUMER, SERVICE
from tests.cli.test_preflight import subscribed
from zekt_bot.testing import GitHubSimulator

SILENT = "on: repository_dispatch\njobs: {a: {runs-on: ubuntu-latest, steps: []}}\n"
NAMES = (SERVICE, CONSUMER)


async def test_both_are_refused_set_shown_and_switched_off(migrated_sqlite: str) -> None:
    async with GitHubSimulator() as github:
        github.app("zekt-orchestrator-app")
        settings, _ = await subscribed(github, migrated_sqlite, SILENT)
        refused = await zekt("subscriptions", "durable", *NAMES, **settings)
        assert refused.code != 0
        assert "run-name: Zekt" in refused.err
        assert "`mode: receive`" in refused.err
        assert "--force" in refused.err
        options = ("--after", "5", "--sends", "2", "--force")
        made = await zekt("subscriptions", "durable", *NAMES, *options, **settings)
        assert "sent again after 5 minutes" in made.out
        assert "2 times in all" in made.out
        ordered = await zekt("subscriptions", "ordered", *NAMES, "--stop", **settings)
        assert "in order, the next once the former is dispatched" in ordered.out
        shown = await zekt("subscriptions", "show", *NAMES, "--json", **settings)
        assert '"durable_after": 300' in shown.out
        assert '"ordered_by": "dispatched"' in shown.out
        off = await zekt("subscriptions", "durable", *NAMES, "--off", **settings)
        assert "is sent once" in off.out
        loose = await zekt("subscriptions", "ordered", *NAMES, "--off", **settings)
        assert "as it comes" in loose.out
