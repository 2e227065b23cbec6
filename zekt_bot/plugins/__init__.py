"""Find, load, register and check plugins; one typed method a hook.

The built-ins come through the same door as everyone's and are called inline; other plugins'
decide and advise hooks run in one watched thread, a page of rows a hop. No hook runs while a
transaction is open: decisions are made before the write begins.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from zekt_bot.domain.audit import machine_word
from zekt_bot.domain.deliveries import Outcome, check_outcome
from zekt_bot.domain.events import Blocked
from zekt_bot.domain.messages import Accepted, Refusal
from zekt_bot.errors import (
    InvalidInput,
    MessageRefused,
    PluginFailed,
    Withheld,
    ZektError,
)
from zekt_bot.github import octo
from zekt_bot.github.octo import plugin_handlers
from zekt_bot.plugins import answers
from zekt_bot.plugins.asking import Asking, tell_failure
from zekt_bot.plugins.calls import Call, attempt, guarded, trusted
from zekt_bot.plugins.loading import BUILT_IN, built_in_folder, found
from zekt_bot.plugins.observers import News, Observers
from zekt_bot.plugins.outside import ChannelClient, Outside
from zekt_bot.plugins.registry import Plugin, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.deliveries import (
        Attempt,
        Delivery,
        DeliveryPolicyFacts,
        DispatchRequest,
        EnvelopePolicyFacts,
        RunPolicyFacts,
    )
    from zekt_bot.domain.events import AggregationPolicy, Draft, Envelope, Job, Message, Run
    from zekt_bot.domain.messages import IncomingMessage, MessagePolicy, Redaction
    from zekt_bot.domain.webhooks import GitHubEvent
    from zekt_bot.github.client import GitHub, RepositoryApi
    from zekt_bot.hookspecs import Channel
    from zekt_bot.plugins.outside import Network
    from zekt_bot.plugins.registry import Impl

    Subject = Run | Envelope | Delivery
    Facts = RunPolicyFacts | EnvelopePolicyFacts | DeliveryPolicyFacts

__all__ = ["BUILT_IN", "Plugin", "Plugins", "built_in_folder", "load"]

_MOST_DETAILS = 16
_LONG = 16_384  # bytes of a message
_log = structlog.get_logger()


class Plugins:
    """The registered plugins. Make it with `load`."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        """Begin with none. `allowed`: networks that channels may reach though they are private."""
        self.registry = Registry()
        self.observers = Observers()
        self._outside = Outside(allowed)
        self._asking = Asking(self.registry, self._went_off)
        self.went_off: Callable[[str, str], None] = lambda plugin, hook: None

    @property
    def channels(self) -> dict[str, Channel]:
        """Every way to deliver, by name."""
        return self.registry.channels

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin that is no built-in; raises PluginRejected."""
        self.registry.register(plugin, Plugin(name))

    async def close(self, within: timedelta) -> None:
        """Let observers hear what waits, within this time, and close the connections."""
        await self.observers.close(within)
        await self._outside.close()
        self._asking.close()

    async def accept_message(self, message: IncomingMessage, policy: MessagePolicy) -> Accepted:
        """The message's JSON as it is to be stored, and what was taken out of it.

        Raises:
            MessageRefused: a plugin refuses it (has `plugin` and `reason`, for the audit).
            PluginFailed: a plugin raised, or answered something else than JSON.
        """
        hook = "zekt_accept_message"
        redactions: tuple[Redaction, ...] = ()
        for impl in self.registry.impls(hook):
            facts = {"message": message, "policy": policy}
            slow = _takes_long(message, policy)
            read = answers.accepted
            (answer,) = await self._asking.each(impl, hook, [facts], read, beside=slow)
            if isinstance(answer, PluginFailed):
                raise answer
            if isinstance(answer, Refusal):
                raise _refused(impl.plugin.name, answer)
            if answer is not None:
                message = replace(message, body=answer.body)
                redactions += answer.redactions
        return Accepted(message.body, redactions)

    async def aggregate(
        self,
        run: Run,
        jobs: Sequence[Job],
        messages: Sequence[Message],
        now: datetime,
        policy: AggregationPolicy,
    ) -> Sequence[Draft] | datetime:
        """Envelopes of a finished run, or until when to wait.

        Raises:
            PluginFailed: a plugin raised, or its drafts do not hold every message once.
        """
        facts = {"run": run, "jobs": jobs, "messages": messages, "now": now, "policy": policy}
        read = partial(answers.aggregation, messages=messages, now=now)
        ((answer, _),) = await self._asking.first("zekt_aggregate", [facts], read)
        if answer is None:
            raise PluginFailed("No plugin answered zekt_aggregate.")
        if isinstance(answer, PluginFailed):
            raise answer
        given: Sequence[Draft] | datetime = answer
        return given

    async def block_reason(self, subject: Subject, facts: Facts) -> Blocked | None:
        """The first reason, if any plugin has one.

        Raises:
            PluginFailed: a plugin raised, or answered something else than a machine word.
        """
        row = {"subject": subject, "facts": facts}
        ((answer, plugin),) = await self._asking.first("zekt_block_reason", [row], answers.reason)
        if isinstance(answer, PluginFailed):
            raise answer
        return None if answer is None else Blocked(answer, machine_word(plugin))

    async def block_reasons(
        self, pairs: Sequence[tuple[Subject, Facts]]
    ) -> list[Blocked | PluginFailed | None]:
        """For each pair of subject and facts as in `block_reason`; a failure stands for itself."""
        rows = [{"subject": subject, "facts": facts} for subject, facts in pairs]
        found = await self._asking.first("zekt_block_reason", rows, answers.reason)
        return [
            Blocked(answer, machine_word(plugin)) if isinstance(answer, str) else answer
            for answer, plugin in found
        ]

    async def transform(self, payload: bytes, envelope: Envelope, delivery: Delivery) -> bytes:
        """A message's JSON as it goes to one consumer.

        Raises:
            PluginFailed: a plugin raised, or answered something else than JSON.
        """
        hook = "zekt_transform"
        for impl in self.registry.impls(hook):
            facts = {"payload": payload, "envelope": envelope, "delivery": delivery}
            (answer,) = await self._asking.each(impl, hook, [facts], partial(answers.json, hook))
            if isinstance(answer, PluginFailed):
                raise answer
            payload = payload if answer is None else answer
        return payload

    async def retry_delay(self, tried: Attempt) -> timedelta | None:
        """How long to wait; None: give up. A plugin's mistake leaves it to the next plugin."""
        ((answer, _),) = await self._asking.first(
            "zekt_retry_delay", [{"attempt": tried}], answers.delay, advise=True
        )
        delay: timedelta | None = answer
        return delay

    async def audited(self, entries: Sequence[Entry]) -> list[Entry]:
        """Entries with what plugins add to each. A plugin's mistake adds nothing."""
        given = list(entries)
        hook = "zekt_audit_details"
        for impl in self.registry.impls(hook):
            if self._asking.is_off(impl):
                continue
            rows = [{"entry": entry} for entry in given]
            added = await self._asking.each(impl, hook, rows, answers.details)
            if any(added):
                given = [
                    _with_details(impl.plugin.name, entry, more)
                    for entry, more in zip(given, added, strict=True)
                ]
        return given

    def check_offered(self, name: str) -> None:
        """Raise InvalidInput unless there is such a channel."""
        if name not in self.channels:
            offered = ", ".join(sorted(self.channels))
            raise InvalidInput(f"No plugin offers the channel {name!r}: choose one of {offered}.")

    async def check_channel(self, name: str, settings: Mapping[str, str]) -> str | None:
        """The lane of a subscription on this channel with these settings; None: GitHub's.

        Raises:
            InvalidInput: there is no such channel, or the settings are wrong.
            PluginFailed: the channel raised, or answered something else than a host.
        """
        self.check_offered(name)
        channel, owner = self.channels[name], self.registry.owners[name]

        def check() -> str | InvalidInput | None:
            try:
                return answers.host(channel.check(dict(settings)))
            except ValueError as error:
                said = " ".join(str(error).split())[:300]
                return InvalidInput(f"The channel {name} does not take these settings: {said}")

        call = Call(owner.name, f"check of {name}", check)
        (answer,) = [attempt(call)] if owner.built_in else await self._asking.run(owner, [call])
        if isinstance(answer, PluginFailed):
            tell_failure(call.plugin, call.hook, answer)
        if isinstance(answer, ZektError):
            raise answer
        return None if answer is None else f"{name}:{answer}"[:120]

    async def send(
        self, channel: str, request: DispatchRequest, client: RepositoryApi, within: timedelta
    ) -> Outcome:
        """Let a channel send once; whatever goes wrong in it counts as `retry`.

        What it says has arrived is not sent again, whatever else it says.
        """
        offered = self.channels.get(channel)
        if offered is None:
            return Outcome("retry", error=f"No plugin offers the channel {channel}.")
        handed = ChannelClient(client, self._outside)

        async def sending() -> Outcome:
            said = await offered.send(request, handed)
            try:
                return check_outcome(said, handed.now())
            except (TypeError, ValueError, OverflowError) as error:
                if not isinstance(said, Outcome) or said.kind != "dispatched":
                    raise
                _log.error("channel.senseless", channel=channel, reason=str(error))
                return Outcome("dispatched")

        owner = self.registry.owners.get(channel)
        watched = trusted if owner and owner.built_in else guarded
        try:
            return await watched(sending, within)
        except TimeoutError:
            return Outcome("retry", error="The channel took too long.")
        except PluginFailed as error:
            if isinstance(error.__cause__, Withheld):
                return Outcome("retry", error=str(error.__cause__))
            _log.error(
                "delivery.channel_failed", delivery_id=request.delivery_id, exc_info=error.__cause__
            )
            kind = type(error.__cause__ or error).__name__
            return Outcome("retry", error=f"The channel raised {kind}.")

    def hears(self, event: str) -> bool:
        """Whether a plugin wants this event of GitHub."""
        return event in self.registry.heard

    def heard_github(self, event: GitHubEvent, raw: bytes, github: GitHub) -> None:
        """Let observers hear of what one `hears`; each gets a payload of its own, made of `raw`."""
        client = None
        if event.installation_id is not None:
            client = github.read_api(event.installation_id)
        bare = replace(event, payload={})  # `raw`, which is counted, is all that waits

        async def told(impl: Impl) -> None:
            own = replace(bare, payload=orjson.loads(raw))
            await _tell(impl, {"event": own, "client": client})

        async def handled(handler: Callable[..., Any]) -> None:
            own = replace(bare, payload=orjson.loads(raw))
            await octo.tell(handler, own, await github.app())

        hook = "zekt_github_event"
        for impl in self.registry.impls(hook):
            if event.name in impl.plugin.named:
                news = News(hook, partial(told, impl), len(raw))
                self.observers.put(impl.plugin.name, news)
        for handler in octo.plugin_router().match(event.name, event.payload):
            for plugin in self.registry.plugins.values():
                if handler in plugin.handlers:
                    news = News(handler.__name__, partial(handled, handler), len(raw))
                    self.observers.put(plugin.name, news)

    def heard_audit(self, entries: Sequence[Entry]) -> None:
        """Let observers hear of entries that were committed."""
        for impl in self.registry.impls("zekt_audited"):
            for entry in entries:
                tell = partial(_tell, impl, {"entry": entry})
                self.observers.put(impl.plugin.name, News("zekt_audited", tell))

    def _went_off(self, plugin: str, hook: str) -> None:
        _log.error("plugin.off", plugin=plugin, hook=hook)
        self.went_off(plugin, hook)


def load(
    folder: Path | None = None,
    disabled: Sequence[str] = (),
    allowed: Sequence[Network] = (),
    more: Mapping[str, object] = MappingProxyType({}),
) -> Plugins:
    """Register the built-ins, installed plugins, every module in `folder`, then `more` by name,
    and check the whole. What is installed already is not registered again.

    Raises:
        PluginRejected: naming the plugin and what is wrong with it.
    """
    plugins = Plugins(allowed)
    before = plugin_handlers()
    for plugin, module in found(folder, disabled):
        plugins.registry.register(module, plugin)
        plugins.registry.adopt(plugin, before)
        before = plugin_handlers()
    for name, module in more.items():
        if not plugins.registry.has(module):
            plugin = Plugin(name, module=getattr(module, "__name__", ""))
            plugins.registry.register(module, plugin)
            plugins.registry.adopt(plugin, before)
    plugins.registry.check()
    return plugins


async def _tell(impl: Impl, facts: Mapping[str, Any]) -> None:
    await impl.function(*map(facts.__getitem__, impl.arguments))


def _takes_long(message: IncomingMessage, policy: MessagePolicy) -> bool:
    """Whether to look through it takes milliseconds, for which the event loop should not stand."""
    schema = policy.service and policy.service.profile.message_schema
    return len(message.body) > _LONG or bool(schema)


def _refused(plugin: str, refusal: Refusal) -> MessageRefused:
    detail = f" {refusal.detail}." if refusal.detail else ""
    return MessageRefused(
        f"The plugin {plugin} refuses this message: {refusal.reason}.{detail}",
        plugin=machine_word(plugin),
        reason=refusal.reason,
    )


def _with_details(plugin: str, entry: Entry, more: Any) -> Entry:
    """What the entry already holds is not replaced."""
    if not more or isinstance(more, PluginFailed):
        return entry
    details = {**more, **entry.details}
    if len(details) > _MOST_DETAILS:
        _log.error("plugin.failed", plugin=plugin, hook="zekt_audit_details", reason="over 16")
        return entry
    return replace(entry, details=details)
