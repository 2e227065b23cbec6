"""The workflow allow-lists."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, or_, select, update

from zekt_bot.db.prepared import Prepared
from zekt_bot.db.rows import ALLOWED, allowed_of, labelled
from zekt_bot.db.sql import insert_if_new, rows_of
from zekt_bot.db.tables import allowed_workflows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.catalog import AllowedWorkflow

Workflow = tuple[int, str]  # repository id and path

_ENTRIES = select(*labelled("", allowed_workflows, ALLOWED))
_ALLOWED = Prepared(
    _ENTRIES.where(
        rows_of((allowed_workflows.c.repository_id, allowed_workflows.c.path), "workflows")
    )
)


def allowed(
    connection: Connection, workflows: Iterable[Workflow]
) -> dict[Workflow, AllowedWorkflow]:
    """The allow-list entries of those of `workflows` that have one."""
    found = _ALLOWED.run(connection, {"workflows": set(workflows)}).mappings()
    entries = [allowed_of(row) for row in found]
    return {(entry.repository_id, entry.path): entry for entry in entries}


def allow(connection: Connection, entry: AllowedWorkflow, now: datetime) -> bool:
    """Set an allow-list entry; False: it stood there as it is."""
    t, key = allowed_workflows, {"repository_id": entry.repository_id, "path": entry.path}
    values = {
        name: value if isinstance(value, bool) else json.dumps(value)
        for name, value in asdict(entry.conditions).items()
    }
    if insert_if_new(connection, t, {**key, **values, "created_at": now}):
        return True
    differs = or_(*(t.c[name] != value for name, value in values.items()))
    same = and_(t.c.repository_id == entry.repository_id, t.c.path == entry.path)
    return bool(connection.execute(update(t).where(same, differs).values(values)).rowcount)


def disallow(connection: Connection, repository_id: int, path: str) -> bool:
    """Take a workflow off the allow-list; False: it does not stand there."""
    t = allowed_workflows
    where = and_(t.c.repository_id == repository_id, t.c.path == path)
    return bool(connection.execute(delete(t).where(where)).rowcount)


def of_repository(connection: Connection, repository_id: int) -> list[AllowedWorkflow]:
    """The allow-list of a repository, by path."""
    t = allowed_workflows
    statement = _ENTRIES.where(t.c.repository_id == repository_id)
    found = connection.execute(statement.order_by(t.c.path)).mappings()
    return [allowed_of(row) for row in found]
