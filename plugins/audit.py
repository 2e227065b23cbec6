"""The audit's entries as Zekt writes them: nothing is added.

A place to begin from: drop a plugin of your own beside this one to add details, such as a site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot import Entry


@hookimpl
def zekt_audit_details(entry: Entry) -> Mapping[str, str | int]:
    """Add nothing: the entry already holds its ids, its actor and its verb."""
    return {}
