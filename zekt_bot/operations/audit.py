"""Reading the audit: who did what, and whether an entry is still what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db.lists import audit
from zekt_bot.db.types import microseconds
from zekt_bot.domain.access import decide
from zekt_bot.domain.audit_chains import expected_hash
from zekt_bot.domain.lists import AuditFilter, Page, audit_key, check_limit
from zekt_bot.domain.names import check_full_name
from zekt_bot.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

FIRST_PAGE = Page()
EVERYTHING = AuditFilter()


async def list_entries(
    broker: Broker,
    principal: Principal,
    page: Page = FIRST_PAGE,
    wanted: AuditFilter = EVERYTHING,
) -> list[dict[str, Any]]:
    """Audit entries of all chains, newest first; their `id` is CHAIN:NUMBER.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
    """
    decide(principal, "audit:read")
    check_limit(page)
    if page.before:
        audit_key(page.before)
    if wanted.repository:
        check_full_name(wanted.repository)
    return [_shown(row) for row in await broker.database.query(audit.page, page, wanted)]


async def show_entry(broker: Broker, principal: Principal, entry_id: str) -> dict[str, Any]:
    """One entry. `intact`: its hash is that of itself and of its predecessor's hash.

    Raises:
        AccessDenied, InvalidInput, NotFound, StorageUnavailable.
    """
    decide(principal, "audit:read")
    found = await broker.database.query(audit.one, *audit_key(entry_id))
    if found is None:
        raise NotFound(f"There is no audit entry {entry_id}: see `zekt audit list`.")
    row, previous = found
    intact = previous is not None and _intact(row, previous)
    return {**_shown(row), "previous": previous, "intact": intact}


def _intact(row: Mapping[Any, Any], previous: str) -> bool:
    return bool(expected_hash(row, previous, microseconds(row["at"])) == row["hash"])


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    entry = {str(name): value for name, value in row.items()}
    details = orjson.loads(entry["details"])
    return {"id": f"{entry['chain']}:{entry['seq']}", **entry, "details": details}
