"""Every table. Columns named `body`, `raw`, `error` and `settings` hold sealed bytes (`crypto`).

Foreign keys stand where a row without the other would be nonsense. `due_at` is NULL unless a row
waits for time; a leased row is due at the end of its lease.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from zekt_bot.db.types import UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Id = String(40)


def _id(name: str = "id") -> Column[str]:
    return Column(name, _Id, primary_key=True)


def _due(table: str) -> Index:
    """Only rows that wait for time stand in this index, so finished ones cost nothing."""
    due_at = metadata.tables[table].c.due_at
    where = due_at.is_not(None)
    return Index(f"ix_{table}_due", due_at, sqlite_where=where, postgresql_where=where)


accounts = Table(
    "accounts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("login", Text, nullable=False),
    Column("login_lower", Text, nullable=False, index=True),
    Column("kind", String(40), nullable=False),
    # What an operator decided: `allow`, `block` or nothing.
    Column("rule", String(10)),
    # Whether ZEKT_ALLOWED_ACCOUNTS, as the worker last read it, lets it in where no rule stands.
    Column("listed", Boolean, nullable=False),
    Column("rule_by", String(200)),
    Column("rule_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
)

# A name that services show instead of their owner's login; it belongs to one account.
aliases = Table(
    "aliases",
    metadata,
    Column("name_lower", String(120), primary_key=True),
    Column("name", Text, nullable=False),
    Column("account_id", BigInteger, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
)

# A login of ZEKT_ALLOWED_ACCOUNTS, pinned to the id that GitHub first named with it.
admissions = Table(
    "admissions",
    metadata,
    Column("login_lower", String(120), primary_key=True),
    Column("account_id", BigInteger, nullable=False, index=True),
    Column("pinned_at", UtcDateTime, nullable=False),
)

installations = Table(
    "installations",
    metadata,
    Column("app", String(20), primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", BigInteger, nullable=False, index=True),
    Column("state", String(20), nullable=False),
    Column("repository_selection", String(20), nullable=False),
    Column("permissions", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

repositories = Table(
    "repositories",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("full_name", Text, nullable=False),
    Column("full_name_lower", Text, nullable=False, index=True),
    Column("account_id", BigInteger, nullable=False, index=True),
    Column("installation_id", BigInteger, index=True),
    Column("private", Boolean, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("provider_enabled_at", UtcDateTime),
    Column("consumer_enabled_at", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    _id(),
    Column("app", String(20), nullable=False),
    Column("guid", String(100), nullable=False),
    Column("event", String(64), nullable=False),
    Column("action", String(64)),
    Column("installation_id", BigInteger),
    Column("account_id", BigInteger),
    Column("repository_id", BigInteger),
    Column("run_id", BigInteger),
    Column("run_attempt", BigInteger),
    Column("raw", LargeBinary),
    Column("state", String(20), nullable=False),
    # Plugins alone asked for it: no step of the pipeline has it.
    Column("observed", Boolean, nullable=False, default=False),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("received_at", UtcDateTime, nullable=False),
    Column("processed_at", UtcDateTime),
    Column("due_at", UtcDateTime),
    Column("lease", String(40)),
    UniqueConstraint("app", "guid"),
)
_due("inbox")
Index("ix_inbox_received", inbox.c.received_at)

runs = Table(
    "runs",
    metadata,
    _id(),
    Column("repository_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("run_attempt", BigInteger, nullable=False),
    Column("account_id", BigInteger),
    Column("correlation_id", _Id, nullable=False, unique=True),
    Column("state", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("workflow_path", Text),
    Column("workflow_name", Text),
    Column("run_number", BigInteger),
    Column("event", Text),
    Column("status", String(40)),
    Column("conclusion", String(40)),
    Column("head_branch", Text),
    Column("head_sha", String(64)),
    Column("head_repository_id", BigInteger),
    Column("html_url", Text),
    Column("actor", Text),
    Column("display_title", Text),
    Column("created_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("gather_until", UtcDateTime),
    Column("aggregated_at", UtcDateTime),
    Column("blocked_reason", String(64)),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("caused_by_delivery_id", _Id),
    Column("bound_by", String(20)),
    Column("root_run_id", _Id),
    Column("hops", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    Column("lease", String(40)),
    UniqueConstraint("repository_id", "run_id", "run_attempt"),
)
_due("runs")
Index("ix_runs_account", runs.c.account_id, runs.c.received_at)
Index("ix_runs_repository", runs.c.repository_id, runs.c.received_at)
Index("ix_runs_received", runs.c.received_at)

jobs = Table(
    "jobs",
    metadata,
    Column("run", _Id, ForeignKey("runs.id"), primary_key=True),
    Column("job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("status", String(40), nullable=False),
    Column("conclusion", String(40)),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
)

messages = Table(
    "messages",
    metadata,
    _id(),
    Column("run", _Id, ForeignKey("runs.id"), nullable=False),
    Column("envelope_id", _Id, nullable=False, unique=True),
    Column("event_type", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("step_ref", Text),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("run", "event_type", "sha256"),
)

envelopes = Table(
    "envelopes",
    metadata,
    _id(),
    Column("run", _Id, ForeignKey("runs.id"), nullable=False, index=True),
    Column("account_id", BigInteger),
    Column("kind", String(30), nullable=False),
    Column("event_type", Text, nullable=False),
    Column("message", _Id, ForeignKey("messages.id"), unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fanned_out_to", _Id, nullable=False),
    Column("filtered", Integer, nullable=False, default=0),
    Column("blocked_reason", String(64)),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),
    Column("lease", String(40)),
)
_due("envelopes")

allowed_workflows = Table(
    "allowed_workflows",
    metadata,
    Column(
        "repository_id",
        BigInteger,
        ForeignKey("repositories.id"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("path", Text, primary_key=True),
    Column("branches", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("conclusions", Text, nullable=False),
    Column("forks", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

services = Table(
    "services",
    metadata,
    _id(),
    Column("account_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, ForeignKey("repositories.id"), nullable=False),
    Column("workflow_path", Text, nullable=False),
    Column("slug", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("alias", Text),
    Column("visibility", String(20), nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("hidden_source", Boolean, nullable=False),
    Column("event_types", Text, nullable=False),
    Column("approves", Text, nullable=False),
    Column("published_at", UtcDateTime),
    Column("rests", String(40)),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("account_id", "slug"),
    UniqueConstraint("repository_id", "workflow_path"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    _id(),
    Column("service_id", _Id, ForeignKey("services.id"), nullable=False),
    Column("repository_id", BigInteger, ForeignKey("repositories.id"), nullable=False, index=True),
    Column("channel", String(64), nullable=False),
    Column("settings", LargeBinary),
    Column("lane", String(120)),
    Column("event_types", Text, nullable=False),
    Column("filters", Text, nullable=False),
    Column("state", String(20), nullable=False),
    # Two consents: who asked (or invited) and who approved (or accepted), for which account.
    Column("requested_by", String(200)),
    Column("requested_account_id", BigInteger),
    Column("requested_at", UtcDateTime),
    Column("approved_by", String(200)),
    Column("approved_account_id", BigInteger),
    Column("approved_at", UtcDateTime),
    Column("words", Text),
    Column("answer", Text),
    Column("expires_at", UtcDateTime),
    Column("paused_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("service_id", "repository_id", "channel"),
)
Index("ix_subscriptions_fan_out", subscriptions.c.service_id, subscriptions.c.id)

_open = subscriptions.c.expires_at.is_not(None)
Index(
    "ix_subscriptions_expires",
    subscriptions.c.expires_at,
    sqlite_where=_open,
    postgresql_where=_open,
)

# What an operator put on hold: `all`, `account:ID`, `service:ID` or `subscription:ID`. A resumed
# one stays until everything that waited for it has been given back.
pauses = Table(
    "pauses",
    metadata,
    Column("subject", String(120), primary_key=True),
    Column("by", String(200), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("resumed_at", UtcDateTime),
)

lanes = Table(
    "lanes",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("refilled_at", UtcDateTime, nullable=False),
    Column("open_at", UtcDateTime),
    Column("next_ready_at", UtcDateTime),
)
_ready = lanes.c.next_ready_at.is_not(None)
Index("ix_lanes_ready", lanes.c.next_ready_at, sqlite_where=_ready, postgresql_where=_ready)

deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    Column("envelope", _Id, ForeignKey("envelopes.id"), nullable=False),
    Column("cause_kind", String(30), nullable=False),
    Column("cause_id", _Id, nullable=False),
    Column("replay_no", Integer, nullable=False),
    Column("target_repository_id", BigInteger, nullable=False),
    Column("channel", String(64), nullable=False),
    Column("lane", String(120), nullable=False),
    Column("sequence_key", Text),
    Column("service_id", _Id),
    Column("provider_account_id", BigInteger, nullable=False),
    Column("consumer_account_id", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("waits_for", String(20)),
    Column("blocked_reason", String(64)),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("dispatched_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),
    Column("lease", String(40)),
    UniqueConstraint("envelope", "cause_kind", "cause_id", "replay_no"),
)
_waits = deliveries.c.due_at.is_not(None)
_leased = deliveries.c.lease.is_not(None)
Index(
    "ix_deliveries_due",
    deliveries.c.lane,
    deliveries.c.due_at,
    sqlite_where=_waits,
    postgresql_where=_waits,
)
Index(
    "ix_deliveries_leased",
    deliveries.c.lane,
    deliveries.c.due_at,
    sqlite_where=_leased,
    postgresql_where=_leased,
)
_paused = deliveries.c.waits_for.is_not(None)
Index(
    "ix_deliveries_waits_for",
    deliveries.c.waits_for,
    sqlite_where=_paused,
    postgresql_where=_paused,
)
Index("ix_deliveries_provider", deliveries.c.provider_account_id, deliveries.c.created_at)
Index("ix_deliveries_consumer", deliveries.c.consumer_account_id, deliveries.c.created_at)

attempts = Table(
    "attempts",
    metadata,
    Column("delivery", _Id, ForeignKey("deliveries.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("status", Integer),
    Column("request_id", String(120)),
    Column("duration_us", BigInteger, nullable=False),
    Column("error", LargeBinary),
    Column("sha256", String(64), nullable=False),
    Column("length", Integer, nullable=False),
)

principals = Table(
    "principals",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("name", Text),
    Column("first_seen_at", UtcDateTime, nullable=False),
)

audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain", String(40), primary_key=True),
    Column("first_seq", BigInteger, nullable=False),
    Column("first_previous", String(64), nullable=False),
    Column("head_seq", BigInteger, nullable=False),
    Column("head_hash", String(64), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("chain", String(40), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("verb", String(120), nullable=False),
    Column("correlation_id", _Id),
    Column("delivery_id", _Id),
    Column("account_id", BigInteger),
    Column("repository_id", BigInteger),
    Column("details", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
Index("ix_audit_at", audit.c.at)
Index("ix_audit_correlation", audit.c.correlation_id)

chores = Table(
    "chores",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("due_at", UtcDateTime, nullable=False),
    Column("lease", String(40)),
)

# A plugin that a process stopped asking, because its calls did not return.
plugin_faults = Table(
    "plugin_faults",
    metadata,
    Column("process", String(120), primary_key=True),
    Column("plugin", String(200), primary_key=True),
    Column("hook", String(60), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("app", String(20), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("version", String(40), nullable=False),
)
