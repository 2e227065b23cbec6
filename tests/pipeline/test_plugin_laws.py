"""A plugin that raises, hangs or answers nonsense, at each place where the pipeline asks it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.db.rows import until
from tests.pipeline.between import elsewhere, writing
from tests.pipeline.sending import DISPATCHES, matched, posts
from tests.stage import LEASE, ME, Stage
from zekt_bot import Accepted, Delivery, Envelope, Redaction, Refusal, Run, hookimpl
from zekt_bot.app import working
from zekt_bot.db import mirror
from zekt_bot.db.tables import attempts, audit, deliveries, envelopes, messages, runs
from zekt_bot.errors import MessageRefused, PluginFailed
from zekt_bot.operations.events import show_event
from zekt_bot.plugins import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from zekt_bot import Attempt, Entry, IncomingMessage, MessagePolicy


class Broken:
    """Every hook does what it was made with, once something of the pipeline's asks."""

    def __init__(self, act: Callable[[], Any], verbs: str = "zekt:delivery:") -> None:
        self.act, self.verbs = act, verbs

    @hookimpl
    def zekt_audit_details(self, entry: Entry) -> Any:
        return self.act() if entry.verb.startswith(self.verbs) else None

    @hookimpl
    def zekt_retry_delay(self, attempt: Attempt) -> Any:
        return self.act()


class Odd(dict[str, int]):
    """A mapping whose keys cannot be read."""

    def keys(self) -> Any:
        raise KeyError("x")

    def __iter__(self) -> Iterator[str]:
        raise KeyError("x")


def _raise(error: BaseException) -> Any:
    raise error


ACTS: dict[str, Callable[[], Any]] = {
    "raises": lambda: _raise(ValueError("no")),
    "cancels": lambda: _raise(asyncio.CancelledError()),
    "exits": lambda: _raise(SystemExit(1)),
    "huge": lambda: {"n": 10**5000},
    "odd": lambda: Odd(a=1),
    "hangs": lambda: threading.Event().wait(0.4),
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("act", ACTS)
async def test_whatever_advice_does_after_the_post_it_is_recorded_and_not_sent_again(
    stage: Stage, act: str
) -> None:
    await matched(stage)
    stage.broker.plugins.register(Broken(ACTS[act]), "broken")
    (outcome,) = await stage.deliver()
    assert outcome is not None
    assert outcome.kind == "dispatched"
    stage.clock.advance(LEASE * 2)
    assert await stage.deliver() == []
    assert len(posts(stage)) == 1
    assert (await stage.row(deliveries))["state"] == "dispatched"
    assert len(await stage.rows(attempts)) == 1
    entry = (await stage.rows(audit))[-1]
    assert entry["verb"] == "zekt:delivery:dispatched"
    assert orjson.loads(entry["details"]) == {"outcome": "dispatched", "status": 204}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("act", ACTS)
async def test_bad_advice_about_a_retry_leaves_the_built_ins(stage: Stage, act: str) -> None:
    await matched(stage)
    stage.broker.plugins.register(Broken(ACTS[act]), "broken")
    stage.github.fail("POST", DISPATCHES, status=502, times=9)
    (outcome,) = await stage.deliver()
    assert outcome is not None
    assert outcome.kind == "retry"
    row = await stage.row(deliveries)
    assert (row["state"], row["lease"], row["attempts"]) == ("retrying", None, 1)
    assert timedelta() < row["due_at"] - stage.clock.now() < timedelta(seconds=7)


class Poisoned:
    """Cancels itself when a run of one branch is decided."""

    @hookimpl
    def zekt_block_reason(self, subject: object) -> None:
        if isinstance(subject, Run) and subject.facts and subject.facts.head_branch == "poison":
            raise asyncio.CancelledError


async def test_a_plugin_that_cancels_itself_stops_no_loop_of_the_worker(stage: Stage) -> None:
    await stage.serve()
    stage.broker.plugins.register(Poisoned(), "poisoned")
    await stage.finish_run("build", head_branch="poison")
    await stage.take()

    async def failed() -> bool:
        return any(row["failures"] for row in await stage.rows(runs))

    async def sent() -> bool:
        stage.clock.advance(timedelta(seconds=5))
        return len(stage.github.dispatches) == 1

    async with working(stage.broker):
        await until(failed)
        await stage.finish_run("build")
        await stage.take()
        await until(sent)


class Strict:
    """Blocks every subject of one kind."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    @hookimpl
    def zekt_block_reason(self, subject: object) -> str | None:
        return "quiet_hours" if isinstance(subject, self.kind) else None


@pytest.mark.parametrize("kind", [Run, Envelope, Delivery])
async def test_whoever_blocks_is_named(stage: Stage, kind: type) -> None:
    await stage.serve()
    stage.broker.plugins.register(Strict(kind), "night shift")
    await stage.finish_run("build")
    await stage.flow()
    event = await show_event(stage.broker, ME, (await stage.row(runs))["id"])
    assert posts(stage) == []
    assert event["blocked_by"] == ("night_shift" if kind is Run else None)
    for envelope in event["envelopes"]:
        assert envelope["blocked_by"] == ("night_shift" if kind is Envelope else None)
    entry = (await stage.rows(audit))[-1]
    assert entry["verb"] == f"zekt:{kind.__name__.lower()}:blocked"
    assert orjson.loads(entry["details"])["plugin"] == "night_shift"


class Hanging:
    """Never returns from a decision about a delivery."""

    def __init__(self) -> None:
        self.free = threading.Event()

    @hookimpl
    def zekt_block_reason(self, subject: object) -> None:
        self.free.wait(20)


@pytest.mark.usefixtures("hurried")
async def test_a_decision_that_hangs_three_times_fails_closed_from_then_on(stage: Stage) -> None:
    await matched(stage)
    hanging = Hanging()
    stage.broker.plugins.register(hanging, "hanging")
    for _ in range(4):
        assert await stage.deliver() == [None]
        assert (await stage.row(deliveries))["reason"] == "plugin_failed"
        stage.clock.advance(timedelta(minutes=1))
    hanging.free.set()
    assert await stage.deliver() == [None]
    assert posts(stage) == []
    assert (await stage.row(deliveries))["state"] == "dead"


REDACTED: Any = Redaction("/a", "password")


class Judging:
    """Answers what it is told, and keeps what it was asked."""

    def __init__(self, answer: Callable[[IncomingMessage], Any]) -> None:
        self.answer = answer
        self.policies: list[MessagePolicy] = []

    @hookimpl
    def zekt_accept_message(self, message: IncomingMessage, policy: MessagePolicy) -> Any:
        self.policies.append(policy)
        return self.answer(message)


async def bodies(stage: Stage) -> list[bytes]:
    keyring = stage.broker.database.keyring
    rows = await stage.rows(messages)
    return [keyring.open(("messages", "body", row["id"]), row["body"]) for row in rows]


async def test_a_message_is_changed_before_it_is_stored_and_known_by_what_came(
    stage: Stage,
) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    judging = Judging(lambda message: message.body.replace(b"secret", b"hidden"))
    stage.broker.plugins.register(judging, "redacting")
    first = await stage.post(run, b'"a secret"')
    again = await stage.post(run, b'"a secret"')
    assert (again.message_id, again.duplicate) == (first.message_id, True)
    assert await bodies(stage) == [b'"a hidden"']
    row = await stage.row(messages)
    assert row["sha256"] == hashlib.sha256(b'"a secret"').hexdigest()
    assert judging.policies[0].repository.full_name == stage.provider.full_name
    service = judging.policies[0].service
    assert service is not None
    assert service.slug == "release"


async def test_plugins_see_what_the_one_before_made_of_a_message(stage: Stage) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    stage.broker.plugins.register(Judging(lambda message: message.body + b" "), "second")
    stage.broker.plugins.register(Judging(lambda message: b"[1]"), "first")
    await stage.post(run, b"1")
    assert await bodies(stage) == [b"[1] "]


async def test_what_plugins_took_out_is_told_together(stage: Stage) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    stage.broker.plugins.register(Judging(lambda _: Accepted(b"[2]", (REDACTED,))), "second")
    stage.broker.plugins.register(Judging(lambda _: Accepted(b"[1]", (REDACTED,))), "first")
    assert (await stage.post(run, b"1")).redactions == (REDACTED, REDACTED)
    assert await bodies(stage) == [b"[2]"]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Refusal("too_long"), MessageRefused, "The plugin strict refuses this message: too_long."),
        (Refusal("two words"), PluginFailed, "machine word"),
        (Refusal("late", "after\x1b[2J noon"), PluginFailed, "printable line"),
        (Refusal("late", "send it before noon"), MessageRefused, r"late\. send it before noon\."),
        (Accepted(b"no json"), PluginFailed, "bytes that are JSON"),
        (Accepted(b"1", REDACTED), PluginFailed, "tuple of Redaction"),
        (Accepted(b"1", (Redaction("/a", "two words"),)), PluginFailed, "machine word"),
        (ValueError("no"), PluginFailed, "raised ValueError"),
        (b"no json", PluginFailed, "bytes that are JSON"),
        (b"1" * 524_289, PluginFailed, "at most 524288 bytes"),
        ("1", PluginFailed, "bytes"),
    ],
    ids=str,
)
async def test_a_refusal_or_a_mistake_stores_nothing(
    stage: Stage, answer: Any, kind: type[Exception], said: str
) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    act = (lambda _: _raise(answer)) if isinstance(answer, Exception) else (lambda _: answer)
    stage.broker.plugins.register(Judging(act), "strict")
    with pytest.raises(kind, match=said):
        await stage.post(run, b"1")
    assert await stage.rows(messages) == []


async def test_a_decision_about_a_message_is_not_applied_to_other_facts(stage: Stage) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")

    def meanwhile(_: IncomingMessage) -> None:
        if len(judging.policies) == 1:
            values, now = {"full_name": "moved/on"}, stage.clock.now()
            elsewhere(
                stage,
                writing(lambda c: mirror.change_repository(c, stage.provider.id, values, now)),
            )

    judging = Judging(meanwhile)
    # As a built-in it is called inline: no watch ends its call.
    stage.broker.plugins.registry.register(judging, Plugin("judging", origin="built-in"))
    await stage.post(run, b"1")
    seen = [policy.repository.full_name for policy in judging.policies]
    assert seen == [stage.provider.full_name, "moved/on"]


class Changing:
    """Makes something else of a payload."""

    def __init__(self, answer: Callable[[bytes], Any]) -> None:
        self.answer = answer

    @hookimpl
    def zekt_transform(self, payload: bytes) -> Any:
        return self.answer(payload)


def sent(stage: Stage) -> Mapping[str, Any]:
    (body,) = posts(stage)
    found: Mapping[str, Any] = orjson.loads(body)["client_payload"]["zekt"]
    return found


async def test_what_goes_to_a_consumer_is_what_plugins_make_of_it(stage: Stage) -> None:
    await matched(stage, b'{"a": 1}')
    stage.broker.plugins.register(Changing(lambda payload: payload.replace(b"1", b"2")), "second")
    stage.broker.plugins.register(Changing(lambda payload: b'{"b": 1}'), "first")
    await stage.deliver()
    assert sent(stage)["payload"] == {"b": 2}


async def test_what_was_changed_and_does_not_fit_is_dead_and_not_sent(stage: Stage) -> None:
    await matched(stage, b"1")
    stage.broker.plugins.register(Changing(lambda payload: b'"%s"' % (b"x" * 70_000)), "longer")
    assert await stage.deliver() == [None]
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"], posts(stage)) == ("dead", "too_large", [])


async def test_what_nobody_changed_and_does_not_fit_is_referred_to(stage: Stage) -> None:
    body = b'"%s"' % (b"x" * 70_000)
    await matched(stage, body)
    stage.broker.plugins.register(Changing(lambda payload: None), "abstaining")
    await stage.deliver()
    message, envelope = await stage.row(messages), await stage.row(envelopes)
    assert sent(stage)["payloadRef"] == {
        "url": f"http://localhost:8080/api/messages/{message['id']}",
        "expiresAt": f"{envelope['created_at'] + timedelta(days=90):%Y-%m-%dT%H:%M:%SZ}",
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


async def test_a_reference_is_to_the_message_as_it_is_stored(stage: Stage) -> None:
    stored = b'"%s"' % (b"y" * 70_000)
    stage.broker.plugins.register(Judging(lambda message: stored), "longer")
    await matched(stage, b"1")
    await stage.deliver()
    reference = {"bytes": len(stored), "sha256": hashlib.sha256(stored).hexdigest()}
    assert sent(stage)["payloadRef"].items() >= reference.items()


@pytest.mark.parametrize("answer", [b"no json", "1", ValueError("no")], ids=str)
async def test_a_payload_that_a_plugin_breaks_is_not_sent(stage: Stage, answer: Any) -> None:
    await matched(stage, b"1")
    act = (lambda _: _raise(answer)) if isinstance(answer, Exception) else (lambda _: answer)
    stage.broker.plugins.register(Changing(act), "breaking")
    assert await stage.deliver() == [None]
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"], posts(stage)) == ("pending", "plugin_failed", [])
