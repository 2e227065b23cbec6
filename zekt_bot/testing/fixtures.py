"""Fixtures for the tests of a plugin. They need `pytest` and `pytest-asyncio`.

    # conftest.py
    import pytest
    import my_plugin

    pytest_plugins = ["zekt_bot.testing.fixtures"]

    @pytest.fixture
    def zekt_plugins():
        return [my_plugin]

    # test_my_plugin.py
    import pytest

    @pytest.mark.asyncio
    async def test_work_in_progress_stays_at_home(zekt):
        run = await zekt.finish_run(head_branch="wip")
        assert (await zekt.event(run))["blocked_reason"] == "work_in_progress"

    @pytest.mark.asyncio
    async def test_the_rest_goes_out(zekt):
        await zekt.finish_run("build", message={"version": "2.4.0"})
        (dispatch,) = await zekt.dispatches()
        assert dispatch.client_payload["zekt"]["payload"] == {"version": "2.4.0"}

`zekt` is a whole Zekt (`zekt_bot.testing.local.LocalZekt`): a server that answers HTTP, its worker
and a database in a temporary folder, with the plugins of `zekt_plugins` beside the built-ins and
those that are installed. Its `provider` publishes a workflow, its `consumer` is approved.
`github` is the simulated GitHub before it (`zekt_bot.testing.GitHubSimulator`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from zekt_bot.testing.github import GitHubSimulator
from zekt_bot.testing.local import LocalZekt, open_local

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path
    from types import ModuleType

__all__ = ["github", "zekt", "zekt_plugins"]


@pytest.fixture
def zekt_plugins() -> Sequence[ModuleType]:
    """The modules under test: define it anew to name yours. What is installed loads by itself."""
    return []


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GitHubSimulator]:
    """A simulated GitHub that runs."""
    async with GitHubSimulator() as simulator:
        yield simulator


@pytest_asyncio.fixture
async def zekt(
    github: GitHubSimulator, zekt_plugins: Sequence[ModuleType], tmp_path: Path
) -> AsyncIterator[LocalZekt]:
    """A whole Zekt with the plugins under test, a provider and an approved consumer."""
    async with open_local(github, tmp_path, zekt_plugins) as opened:
        yield opened
