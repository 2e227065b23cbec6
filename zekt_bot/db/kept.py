"""Facts that were read once, until the version of their row moves.

A decision is a pure function of its facts, and a fact of its row's version. So what decides about
an event is not read anew for each: how it stands now (`db/present.py`) says whether it moved.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from zekt_bot.db import mirror, workflows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import Connection

    from zekt_bot.db.present import Present
    from zekt_bot.db.workflows import Workflow
    from zekt_bot.domain.catalog import AllowedWorkflow, Repository

_MOST_KEPT = 100_000  # ten thousand lanes in turn: a consumer and a subscription each, and more


class KeptFacts:
    """Values by what they were read from: a kind, a key, and versions that rise with a change.

    Readers of several threads share it. What looks whether a decision stands reads without it.
    """

    def __init__(self, most: int = _MOST_KEPT) -> None:
        """Nothing yet; beyond `most`, what was not used for the longest time goes."""
        self._most = most
        self._values: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def of(
        self,
        kind: str,
        present: Mapping[Any, Any],
        read: Callable[[list[Any]], Mapping[Any, Any]],
    ) -> dict[Any, Any]:
        """Values of `present` (key → version); `read` gives those that are not kept."""
        found, missing = {}, []
        with self._lock:
            for key, version in present.items():
                place = (kind, key, version)
                if place in self._values:
                    self._values.move_to_end(place)
                    found[key] = self._values[place]
                else:
                    missing.append(key)
        if missing:
            fresh = read(missing)
            found.update(fresh)
            with self._lock:
                self._values.update(((kind, key, present[key]), fresh[key]) for key in fresh)
                while len(self._values) > self._most:
                    self._values.popitem(last=False)
        return found


def repositories(
    connection: Connection, kept: KeptFacts, present: Present
) -> dict[int, Repository]:
    """The repositories of `present`."""
    return kept.of(
        "repository",
        present.repositories,
        lambda ids: mirror.repositories_by_id(connection, ids),
    )


def allowed(
    connection: Connection,
    kept: KeptFacts,
    present: Present,
    known: Mapping[int, Repository],
    ran: Iterable[Workflow],
) -> dict[Workflow, AllowedWorkflow | None]:
    """What `known`, the repositories of `present`, allow these workflows; None: nothing.

    It is of the repository in hand, whose version whoever applies the decision looks at.
    """
    at = present.repositories
    moves_with = {
        workflow: (at[workflow[0]], known[workflow[0]].version)
        for workflow in ran
        if workflow[0] in known
    }
    return kept.of(
        "allowed",
        moves_with,
        lambda keys: dict.fromkeys(keys) | workflows.allowed(connection, keys),
    )
