"""The built-in audit plugin: an entry passes as Zekt wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from structlog.testing import capture_logs

from tests import strategies
from zekt_bot.plugins import load

if TYPE_CHECKING:
    from zekt_bot import Entry

PLUGINS = load()


@given(strategies.entries)
async def test_nothing_is_added_to_an_entry(entry: Entry) -> None:
    with capture_logs() as logs:
        assert await PLUGINS.audited([entry]) == [entry]
    assert logs == [], "the plugin neither raised nor answered senselessly"
