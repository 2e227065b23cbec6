"""What happened: stored webhooks, runs with their jobs and messages, envelopes."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from zekt_bot.db.tables.base import ID, due, id_column, metadata, partial
from zekt_bot.db.types import UtcDateTime

inbox = Table(
    "inbox",
    metadata,
    id_column(),
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
    # Read from GitHub's own list of deliveries: it had not come, or was not stored.
    Column("recovered", Boolean, nullable=False, server_default=false()),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("received_at", UtcDateTime, nullable=False),
    Column("processed_at", UtcDateTime),
    Column("due_at", UtcDateTime),
    Column("lease", String(40)),
    UniqueConstraint("app", "guid"),
)
due("inbox")
Index("ix_inbox_received", inbox.c.received_at)

runs = Table(
    "runs",
    metadata,
    id_column(),
    Column("repository_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("run_attempt", BigInteger, nullable=False),
    Column("account_id", BigInteger),
    Column("correlation_id", ID, nullable=False, unique=True),
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
    # When its end was read from GitHub, because the webhook that tells it was missed.
    Column("recovered_at", UtcDateTime),
    Column("gather_until", UtcDateTime),
    Column("aggregated_at", UtcDateTime),
    Column("blocked_reason", String(64)),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("caused_by_delivery_id", ID),
    Column("bound_by", String(20)),
    # What the run itself said of the delivery that it came of: success or failure.
    Column("reported", String(20)),
    Column("root_run_id", ID),
    Column("hops", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    Column("lease", String(40)),
    UniqueConstraint("repository_id", "run_id", "run_attempt"),
)
due("runs")
Index("ix_runs_account", runs.c.account_id, runs.c.received_at)
Index("ix_runs_repository", runs.c.repository_id, runs.c.received_at)
Index("ix_runs_received", runs.c.received_at)
# The few whose end is not known; as text, or SQLite would not use it for a bound parameter.
RUN_IS_OPEN = text("state = 'open'")
partial("ix_runs_open", RUN_IS_OPEN, runs.c.repository_id, runs.c.received_at)
partial(
    "ix_runs_caused_by", runs.c.caused_by_delivery_id.is_not(None), runs.c.caused_by_delivery_id
)
# What the loop guard looks for: the few runs that a delivery may have led to.
RUN_HAS_HOPS = text("hops > 0")
partial("ix_runs_hops_created", RUN_HAS_HOPS, runs.c.repository_id, runs.c.created_at)
partial("ix_runs_hops_completed", RUN_HAS_HOPS, runs.c.repository_id, runs.c.completed_at)

jobs = Table(
    "jobs",
    metadata,
    Column("run", ID, ForeignKey("runs.id"), primary_key=True),
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
    id_column(),
    Column("run", ID, ForeignKey("runs.id"), nullable=False),
    Column("envelope_id", ID, nullable=False, unique=True),
    Column("event_type", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_gone_at", UtcDateTime),
    Column("step_ref", Text),
    # Where in it secrets were, and of which kinds.
    Column("redactions", LargeBinary),
    # The form of its Shield envelope; NULL: it came in clear.
    Column("shield", String(10)),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("run", "event_type", "sha256"),
)

# What was not taken, of each run and reason once: shown to the provider.
refused_messages = Table(
    "refused_messages",
    metadata,
    id_column(),
    Column("repository_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("run_attempt", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("account_id", BigInteger, nullable=False, index=True),
    Column("workflow_path", Text),
    Column("event_type", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("times", Integer, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False, index=True),
    UniqueConstraint("repository_id", "run_id", "run_attempt", "reason"),
)

envelopes = Table(
    "envelopes",
    metadata,
    id_column(),
    Column("run", ID, ForeignKey("runs.id"), nullable=False, index=True),
    Column("account_id", BigInteger),
    Column("kind", String(30), nullable=False),
    Column("event_type", Text, nullable=False),
    Column("message", ID, ForeignKey("messages.id"), unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("body_gone_at", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("fanned_out_to", ID, nullable=False),
    Column("filtered", Integer, nullable=False, default=0),
    Column("blocked_reason", String(64)),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),
    Column("lease", String(40)),
)
due("envelopes")

# What deletion by age looks for.
partial("ix_runs_blocked", runs.c.blocked_reason.is_not(None), runs.c.received_at)
partial("ix_runs_reason", runs.c.reason.is_not(None), runs.c.received_at)
partial("ix_envelopes_blocked", envelopes.c.blocked_reason.is_not(None), envelopes.c.created_at)
partial("ix_envelopes_body", envelopes.c.body_gone_at.is_(None), envelopes.c.created_at)
partial("ix_messages_body", messages.c.body_gone_at.is_(None), messages.c.created_at)
