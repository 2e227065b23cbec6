"""Every table. Columns named `body`, `raw`, `error`, `settings` and `redactions` hold sealed
bytes (`crypto`).

Foreign keys stand where a row without the other would be nonsense. `due_at` is NULL unless a row
waits for time; a leased row is due at the end of its lease.
"""

from zekt_bot.db.tables.base import metadata
from zekt_bot.db.tables.catalog import (
    accounts,
    admissions,
    aliases,
    allowed_workflows,
    installations,
    pauses,
    repositories,
    services,
    shield_keys,
    subscriptions,
)
from zekt_bot.db.tables.deliveries import (
    attempts,
    deliveries,
    lanes,
    replays,
)
from zekt_bot.db.tables.events import (
    RUN_HAS_HOPS,
    RUN_IS_OPEN,
    envelopes,
    inbox,
    jobs,
    messages,
    refused_messages,
    runs,
)
from zekt_bot.db.tables.people import operators, people, sessions, setup, web_states
from zekt_bot.db.tables.server import (
    audit,
    audit_chains,
    chores,
    coverage,
    credentials,
    plugin_faults,
    principals,
    processes,
    usage,
)

__all__ = [
    "RUN_HAS_HOPS",
    "RUN_IS_OPEN",
    "accounts",
    "admissions",
    "aliases",
    "allowed_workflows",
    "attempts",
    "audit",
    "audit_chains",
    "chores",
    "coverage",
    "credentials",
    "deliveries",
    "envelopes",
    "inbox",
    "installations",
    "jobs",
    "lanes",
    "messages",
    "metadata",
    "operators",
    "pauses",
    "people",
    "plugin_faults",
    "principals",
    "processes",
    "refused_messages",
    "replays",
    "repositories",
    "runs",
    "services",
    "sessions",
    "setup",
    "shield_keys",
    "subscriptions",
    "usage",
    "web_states",
]
