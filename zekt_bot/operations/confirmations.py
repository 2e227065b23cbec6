"""A consumer's run says which delivery it came of, and how that ended."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from zekt_bot.db import proofs, runs, units
from zekt_bot.domain.access import Resource, decide
from zekt_bot.domain.deliveries import may_move
from zekt_bot.domain.ids import new_correlation_id, new_id
from zekt_bot.domain.proof import EXACT, meant, reports
from zekt_bot.errors import Conflict, InvalidInput, NotFound
from zekt_bot.operations.proving import proving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.proofs import Proving
    from zekt_bot.domain.access import WorkflowRun
    from zekt_bot.domain.deliveries import DeliveryState
    from zekt_bot.domain.events import Run, RunKey
    from zekt_bot.domain.proof import Report
    from zekt_bot.operations.broker import Broker

_NAME = re.compile(r"(dlv|cor)_[0-9a-z]{26}")


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The delivery that a run confirmed, and where it stands now."""

    delivery_id: str
    correlation_id: str
    state: DeliveryState


@dataclass(frozen=True, slots=True)
class _Refused:
    kind: Literal["unknown", "several", "blocked", "another"]
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Telling:
    key: RunKey
    run: Mapping[str, Any]
    name: str
    report: Report | None
    proving: Proving


async def confirm(
    broker: Broker, principal: WorkflowRun, name: str, report: Report | None = None
) -> Confirmed:
    """Bind the run that calls to a delivery to its repository, and move that; again: the same.

    `name` is the delivery's id, or the correlation id alone: then the one of its deliveries here
    that is unconfirmed, or else the newest confirmed. `report`: how the run says that it ended;
    a failure stays, whatever it says later.

    Raises:
        InvalidInput: `name` has neither form.
        NotFound: no such delivery went to this repository.
        Conflict: several may be meant, it was blocked, or the run came of another.
        StorageUnavailable.
    """
    here = principal.key.repository_id
    decide(principal, "delivery:confirm", Resource(consumer=here))
    if not _NAME.fullmatch(name):
        raise InvalidInput("A deliveryId is dlv_ and a correlationId cor_ with 26 characters.")
    # First a look: who is told nothing here costs no write and no plugin's time.
    if not await broker.database.query(proofs.said, here, name):
        raise _error(_Refused("unknown"), name)
    now = broker.now()
    telling = _Telling(
        key=principal.key,
        run={
            "id": new_id("run", now),
            "correlation_id": new_correlation_id(),
            "received_at": now,
        },
        name=name,
        report=report,
        proving=await proving(broker, principal.key),
    )
    told = await broker.database.write(_tell, telling)
    if isinstance(told, _Refused):
        raise _error(told, name)
    return told


def _error(refused: _Refused, name: str) -> NotFound | Conflict:
    listed = ", ".join(refused.ids)
    if refused.kind == "unknown":
        return NotFound(
            f"Nothing called {name} went to this repository: take it from "
            "github.event.client_payload.zekt."
        )
    if refused.kind == "several":
        return Conflict(f"Several deliveries may be meant: name one by its deliveryId ({listed}).")
    if refused.kind == "blocked":
        return Conflict(f"The delivery {listed} was blocked: there is nothing to confirm.")
    return Conflict(f"This run came of the delivery {listed}, and of one alone.")


def _tell(connection: Connection, rows: Sequence[_Telling]) -> list[Confirmed | _Refused]:
    """Bind each run to what it means, or say why not, as if one came after the other; what they
    prove together is settled once, and each hears how it stands then.

    Runs before lanes before deliveries, of all rows at once: everybody locks in this order.
    """
    said = [proofs.said(connection, row.key.repository_id, row.name) for row in rows]
    fresh = {
        row.key: {**row.run, "account_id": found[0].consumer_account_id}
        for row, found in zip(rows, said, strict=True)
        if found
    }
    unit = _Unit(connection, runs.meet(connection, fresh))
    chosen = [unit.bind(row, found) for row, found in zip(rows, said, strict=True)]
    unit.finish({run["id"] for run in fresh.values()})
    return [
        each if isinstance(each, _Refused) else _confirmed(connection, row, each)
        for row, each in zip(rows, chosen, strict=True)
    ]


def _confirmed(connection: Connection, row: _Telling, delivery_id: str) -> Confirmed:
    (now,) = proofs.said(connection, row.key.repository_id, delivery_id)
    return Confirmed(now.id, now.correlation_id, now.state)


class _Unit:
    """What one transaction is told."""

    def __init__(self, connection: Connection, met: Mapping[RunKey, Run]) -> None:
        self._connection = connection
        self._met = dict(met)
        self._told: list[tuple[str, Proving]] = []

    def bind(self, row: _Telling, said: Sequence[Any]) -> str | _Refused:
        """The delivery that the run came of by its own word, or why none is taken."""
        if not said:
            return _Refused("unknown")
        units.run_left(self._connection)  # what the runs before it came of is read below
        run = proofs.as_said(self._connection, self._met[row.key])
        chosen = _chosen({each.id: self._state(each) for each in said}, run)
        if isinstance(chosen, _Refused):
            return chosen
        binding = proofs.known(self._connection, row.key.repository_id, chosen)
        report = reports(runs.reported(self._connection, run.id), row.report)
        values = {**binding._asdict(), "hops": max(run.hops, binding.hops), "reported": report}
        runs.change(self._connection, {run.id: values})
        self._met[row.key] = replace(run, caused_by_delivery_id=chosen, bound_by=binding.bound_by)
        self._told.append((chosen, row.proving))
        return chosen

    def _state(self, said: Any) -> DeliveryState:
        """A delivery's state, were it settled what the unit was told before."""
        told = any(said.id == each for each, _ in self._told)
        proved = told and may_move(said.state, "confirmed")
        state: DeliveryState = "confirmed" if proved else said.state
        return state

    def finish(self, fresh: set[str]) -> None:
        """Settle it. A run that was met for what is refused leaves no trace."""
        unbound = {run.id for run in self._met.values() if run.bound_by is None}
        runs.forget(self._connection, unbound & fresh)
        proofs.settle(self._connection, self._told)


def _chosen(found: Mapping[str, DeliveryState], run: Run) -> str | _Refused:
    """The delivery that the run means, or why none is taken."""
    bound = run.caused_by_delivery_id if run.bound_by in EXACT else None
    chosen = meant(found, bound)
    if chosen is None:
        return _Refused("blocked", tuple(found))
    if isinstance(chosen, tuple):
        return _Refused("several", chosen)
    if bound is not None and bound != chosen:
        return _Refused("another", (bound,))
    return chosen
