"""Whatever happens between a decision's read and its write: none is made on stale facts, and what
was promised goes out exactly once.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.db.rows import until
from tests.stage import RELEASE
from tests.strategies import at_length
from zekt_bot.db import leases, mirror, subscriptions, workflows
from zekt_bot.db.tables import deliveries, envelopes, messages, runs
from zekt_bot.db.tables import subscriptions as wishes
from zekt_bot.domain.catalog import AllowedWorkflow
from zekt_bot.errors import AccessDenied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pytest
    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.testing import WorkflowRun

ACTIONS = ("message", "job", "disallow", "allow", "revoke", "approve", "suspend", "unsuspend")
WRITES = {"_settle", "_apply", "record"}
# Fewer than the tries of a row: one whose facts move at each of them is only due again later.
plans = st.lists(st.lists(st.sampled_from(ACTIONS), max_size=2), min_size=3, max_size=7)


class World:
    """What is true at each moment, and a database that is changed right before it is written."""

    def __init__(self, stage: Stage, subscription: str) -> None:
        self.stage, self.subscription = stage, subscription
        self.write, self.query = stage.broker.database.write, stage.broker.database.query
        self.ask = stage.broker.database.ask
        self.plan: list[list[str]] = []
        self.seen: str | None = "nobody looked"
        self.applied: Counter[str] = Counter()
        self.numbers = count()  # no two messages are the same
        self.allowed = self.approved = self.active = True
        self.watched: dict[Any, Any] = {}
        self.true_at: dict[int, str | None] = {}

    async def begin(self, plan: list[list[str]]) -> None:
        """A finished run of its own, and everything agreed."""
        for action in ("allow", "approve", "unsuspend"):
            await self.act(action)
        self.plan = []
        self.run: WorkflowRun = await self.stage.finish_run("build")
        self.promised: list[str] = []
        await self.stage.listen()
        self.plan = list(plan)

    @property
    def reason(self) -> str | None:
        """What stands against a delivery now."""
        if not self.allowed:
            return "not_allowed"
        if not self.approved:
            return "not_approved"
        return None if self.active else "consent"

    async def act(self, action: str) -> None:
        """Change the facts, as another process would."""
        stage, now = self.stage, self.stage.clock.now()
        if action == "message":
            body = str(next(self.numbers)).encode()
            try:
                self.promised.append((await stage.post(self.run, body)).event_id)
            except AccessDenied:  # a workflow that may not send posts no message either
                assert not self.allowed
        elif action == "job":
            await self.run.start_job("late")
            await stage.listen()
        elif action in {"allow", "disallow"}:
            allowed = action == "allow"
            await self._change(self._allow if allowed else self._disallow, allowed=allowed)
        elif action in {"approve", "revoke"}:
            state = "approved" if action == "approve" else "revoked"
            await self._change(
                lambda c: subscriptions.change(c, self.subscription, state=state),
                approved=state == "approved",
            )
        else:
            active = action == "unsuspend"
            told = (stage.consuming.id, "active" if active else "suspended", now)
            await self._change(lambda c: mirror.set_installation_state(c, *told), active=active)

    async def _change(self, change: Callable[[Connection], object], **truth: bool) -> None:
        """What is true changes in the transaction: neighbours wait for theirs meanwhile."""

        def changed(connection: Connection, rows: Sequence[None]) -> list[None]:
            change(connection)
            vars(self).update(truth)
            return [None] * len(rows)

        await self.write(changed, None)

    def _watch(self, fn: Any) -> Any:
        """`fn`, noting what was true when each row was written."""

        def watched(connection: Connection, rows: Sequence[Any]) -> Any:
            self.true_at.update((id(row), self.reason) for row in rows)
            return fn(connection, rows)

        return self.watched.setdefault(fn, watched)

    def _allow(self, connection: Connection) -> None:
        entry = AllowedWorkflow(self.stage.provider.id, RELEASE)
        workflows.allow(connection, entry, self.stage.clock.now())
        mirror.touch(connection, self.stage.provider.id)

    def _disallow(self, connection: Connection) -> None:
        workflows.disallow(connection, self.stage.provider.id, RELEASE)
        mirror.touch(connection, self.stage.provider.id)

    async def _happen(self) -> None:
        for action in self.plan.pop(0) if self.plan else ():
            await self.act(action)

    async def written(self, fn: Any, row: Any, **options: Any) -> Any:
        """Something happens, then it is written; what was written must be true."""
        if fn.__name__ not in WRITES:
            return await self.write(fn, row, **options)
        await self._happen()
        answer = await self.write(self._watch(fn), row, **options)
        reason = self.true_at.pop(id(row))
        if answer:
            self.applied[fn.__name__] += 1
            getattr(self, f"check_{fn.__name__.lstrip('_')}")(row, reason)
        return answer

    async def looked(self, fn: Any, row: Any) -> Any:
        """Something happens before a delivery is read once more."""
        if fn.__name__ != "stands":  # what a message asks when it comes
            return await self.ask(fn, row)
        await self._happen()
        self.seen = self.reason
        return await self.ask(fn, row)

    async def asked(self, fn: Any, *args: Any) -> Any:
        """Something happens after a delivery was read."""
        answer = await self.query(fn, *args)
        if getattr(fn, "__name__", "") == "load":  # a read with its arguments bound has none
            await self._happen()
        return answer

    def check_settle(self, row: Any, reason: str | None) -> None:
        blocked = row.values.get("blocked_reason")
        assert blocked == (reason if reason == "not_allowed" else None)

    def check_apply(self, row: Any, reason: str | None) -> None:
        assert [each["blocked_reason"] for each in row.rows] == [reason]

    def check_record(self, row: Any, reason: str | None) -> None:
        if row.to == "blocked":
            assert row.blocked_reason == reason
        else:
            assert (row.to, self.seen) == ("dispatched", None)
        self.seen = "nobody looked"


async def rows_of(stage: Stage, run: WorkflowRun) -> tuple[Mapping[str, Any], list[Any], list[Any]]:
    """The run with its envelopes and deliveries."""
    (row,) = [
        one
        for one in await stage.rows(runs)
        if (one["run_id"], one["run_attempt"]) == (run.id, run.attempt)
    ]
    sent = [one for one in await stage.rows(envelopes) if one["run"] == row["id"]]
    ids = {one["id"] for one in sent}
    return row, sent, [one for one in await stage.rows(deliveries) if one["envelope"] in ids]


async def settle(stage: Stage) -> None:
    """Let every step run until nothing is due any more."""

    async def quiet() -> bool:
        stage.clock.advance(timedelta(seconds=3))
        assert await stage.aggregate() == {}
        assert await stage.match() == {}
        await stage.deliver()
        due: Sequence[Any] = [
            await stage.broker.database.query(leases.next_due, topic)
            for topic in ("runs", "envelopes", "deliveries")
        ]
        return not any(due)

    await until(quiet)


@settings(max_examples=at_length(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans)
@example(plan=[["disallow"], ["allow"]])  # settle
@example(plan=[[], [], ["message"], [], ["message"], [], [], ["disallow"]])
@example(plan=[["message"], ["message", "revoke"], ["approve"]])  # settle, apply
@example(plan=[[], [], ["suspend"]])  # between the delivery's read and its POST
@example(plan=[[], [], ["revoke"], [], ["approve"]])  # a block on what is true no more
async def test_no_decision_is_stale_and_every_promise_is_kept_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, plan: list[list[str]]
) -> None:
    if not await stage.rows(runs):
        await stage.serve("*")
    (held,) = {row["id"] for row in await stage.rows(wishes)}
    world = World(stage, held)
    await world.begin(plan)
    with monkeypatch.context() as patched:
        patched.setattr(stage.broker.database, "write", world.written)
        patched.setattr(stage.broker.database, "query", world.asked)
        patched.setattr(stage.broker.database, "ask", world.looked)
        await settle(stage)
    run, sent, made = await rows_of(stage, world.run)
    stored = [one for one in await stage.rows(messages) if one["run"] == run["id"]]
    assert sorted(one["envelope_id"] for one in stored) == sorted(world.promised)
    if run["blocked_reason"] is None:
        assert sorted(one["id"] for one in sent if one["message"]) == sorted(world.promised)
        assert sent
    assert sorted(one["envelope"] for one in made) == sorted(one["id"] for one in sent)
    assert {one["state"] for one in made} <= {"dispatched", "blocked"}
    out = Counter(one.client_payload["zekt"]["deliveryId"] for one in stage.github.dispatches)
    assert {one["id"] for one in made if one["state"] == "dispatched"} == {
        one["id"] for one in made if out[one["id"]]
    }
    assert set(out.values()) <= {1}
