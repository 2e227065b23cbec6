"""Alembic's entry: runs on the connection that `db/schema.py` hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from zekt_bot.db.tables import metadata
from zekt_bot.db.types import UtcDateTime


def _render(kind: str, thing: Any, _autogen: Any) -> str | Literal[False]:
    return "UtcDateTime()" if kind == "type" and isinstance(thing, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=_render,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
