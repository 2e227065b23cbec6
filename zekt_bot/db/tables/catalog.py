"""Accounts, their repositories, services and subscriptions: who may send what to whom."""

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
    true,
)

from zekt_bot.db.tables.base import ID, id_column, metadata, partial
from zekt_bot.db.types import UtcDateTime

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
    # Whether GitHub verified that the organization has its domain, and when it last said so.
    Column("verified", Boolean, nullable=False, server_default=false()),
    Column("verified_asked_at", UtcDateTime),
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

# A login that a setting lists (accounts, people, operators), pinned to the id that GitHub first
# named with it.
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
    # As GitHub tells; who installed it only where its webhook was heard.
    Column("installed_at", UtcDateTime),
    Column("installed_by", Text),
    Column("installed_by_id", BigInteger),
    Column("suspended_at", UtcDateTime),
    Column("suspended_by", Text),
    Column("suspended_by_id", BigInteger),
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
    # When consent last came back: its installation, its place in it, its account's admission.
    Column("heard_since", UtcDateTime),
    # When GitHub last said that consent is gone, be it back by now; NULL: it never was.
    Column("withdrawn_at", UtcDateTime),
    # Since when consent is gone, as the hourly look found it; NULL: it stands, or was never given.
    Column("lapsed_at", UtcDateTime),
    # Since when what is kept of it is being purged; NULL: it is not, or no longer.
    Column("purging_since", UtcDateTime),
    # Since when GitHub does not give its list of runs; NULL: it does.
    Column("unread_since", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

partial("ix_repositories_purging", repositories.c.purging_since.is_not(None), repositories.c.id)

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
    id_column(),
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
    # What is done about secrets in its messages, the schema that they fit, and whether they must
    # be encrypted.
    Column("secrets", String(20), nullable=False, server_default="redact"),
    Column("message_schema", Text),
    Column("shield", Boolean, nullable=False, server_default=false()),
    Column("one_per_type", Boolean, nullable=False, server_default=false()),
    Column("published_at", UtcDateTime),
    Column("rests", String(40)),
    # What consumers knew it by before a transfer took its alias; leads nowhere.
    Column("former_alias", Text),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("account_id", "slug"),
    UniqueConstraint("repository_id", "workflow_path"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    id_column(),
    Column("service_id", ID, ForeignKey("services.id"), nullable=False),
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
    Column("resumed_at", UtcDateTime),
    # Seconds to wait for a proof, and how often to send in all; NULL: it is not durable.
    Column("durable_after", Integer),
    Column("durable_sends", Integer),
    # After what the next is sent, and for how many seconds that is waited for; NULL: at once.
    Column("ordered_by", String(20)),
    Column("ordered_within", Integer),
    Column("ordered_stops", Boolean),
    Column("provider_may_replay", Boolean, nullable=False, server_default=true()),
    # When deletion by age first saw that it is over.
    Column("over_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("service_id", "repository_id", "channel"),
)
Index("ix_subscriptions_over", subscriptions.c.state, subscriptions.c.over_at)
Index("ix_subscriptions_fan_out", subscriptions.c.service_id, subscriptions.c.id)

partial(
    "ix_subscriptions_expires", subscriptions.c.expires_at.is_not(None), subscriptions.c.expires_at
)

# Public keys that messages are encrypted for: of `account:ID` or `repository:ID`.
shield_keys = Table(
    "shield_keys",
    metadata,
    id_column(),
    Column("subject", String(120), nullable=False),
    Column("account_id", BigInteger, nullable=False, index=True),
    Column("repository_id", BigInteger),
    Column("fingerprint", String(64), nullable=False),
    Column("bits", Integer, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("subject", "fingerprint"),
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
