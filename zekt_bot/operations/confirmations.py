"""A consumer's run says which delivery it came of, and how that ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from zekt_bot.db import proofs, runs
from zekt_bot.domain.access import Resource, decide
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
    answers: dict[int, Confirmed | _Refused] = {}
    # Every unit locks runs in the order of their keys.
    for number, row in sorted(enumerate(rows), key=lambda pair: pair[1].key):
        answers[number] = _tell_one(connection, row)
    return [answers[number] for number in range(len(rows))]


def _tell_one(connection: Connection, row: _Telling) -> Confirmed | _Refused:
    here = row.key.repository_id
    found = {each.id: each for each in proofs.said(connection, here, row.name)}
    if not found:
        return _Refused("unknown")
    owner = next(iter(found.values())).consumer_account_id
    run = runs.meet(connection, {row.key: {**row.run, "account_id": owner}})[row.key]
    chosen = _chosen({each.id: each.state for each in found.values()}, run)
    if isinstance(chosen, _Refused):
        if run.id == row.run["id"]:  # nothing of it was there before
            runs.forget(connection, [run.id])
        return chosen
    binding = proofs.told(connection, here, chosen)
    report = reports(runs.reported(connection, run.id), row.report)
    values = {**binding._asdict(), "hops": max(run.hops, binding.hops), "reported": report}
    runs.change(connection, {run.id: values})
    proofs.settle(connection, {chosen: row.proving})
    (now,) = proofs.said(connection, here, chosen)
    return Confirmed(now.id, now.correlation_id, now.state)


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
