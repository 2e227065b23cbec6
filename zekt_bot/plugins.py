"""Find, load, register and check plugins; one typed method a hook.

The four built-ins come through the same door as everyone's. No hook runs while a transaction is
open: decisions are made before the write begins.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
import structlog

from zekt_bot.domain.audit import Entry, check_details
from zekt_bot.domain.deliveries import GIVE_UP_AFTER
from zekt_bot.domain.events import Draft, drafts_are_sensible
from zekt_bot.errors import PluginFailed, PluginRejected, ZektError
from zekt_bot.hookspecs import PROJECT, ZektSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from zekt_bot.domain.deliveries import (
        Attempt,
        Delivery,
        DeliveryPolicyFacts,
        EnvelopePolicyFacts,
        RunPolicyFacts,
    )
    from zekt_bot.domain.events import AggregationPolicy, Envelope, Job, Message, Run
    from zekt_bot.hookspecs import Channel

BUILT_IN = ("auth", "aggregation", "dispatch", "audit")
_DECIDING = ("zekt_aggregate", "zekt_block_reason", "zekt_retry_delay")
_log = structlog.get_logger()


def built_in_folder() -> Path:
    """`plugins/` beside the package in a checkout, else the copy inside the wheel."""
    package = Path(__file__).parent
    checkout = package.parent / "plugins"
    beside = (package.parent / "pyproject.toml").is_file() and checkout.is_dir()
    return checkout if beside else package / "_builtin"


class Plugins:
    """The registered plugins. Make it with `load`."""

    def __init__(self) -> None:
        """Begin with none."""
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(ZektSpec)
        self.channels: dict[str, Channel] = {}

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin.

        Raises:
            PluginRejected: its name is taken, or a hook or an argument is misspelt.
        """
        if self._manager.has_plugin(name):
            raise PluginRejected(f"There are two plugins {name}: give the file another name.")
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            self._check_no_wrapper(plugin)
        except (ValueError, pluggy.PluginValidationError) as error:
            raise PluginRejected(
                f"The plugin {name} cannot be registered: {error}. Spell hooks and arguments as "
                "zekt_bot.hookspecs does."
            ) from None

    def _check_no_wrapper(self, plugin: object) -> None:
        """Plugins may add and restrict, never take back what another one said."""
        for caller in self._manager.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin and (impl.wrapper or impl.hookwrapper):
                    raise ValueError(f"{caller.name} is a wrapper, which could weaken the policy")

    def check(self) -> None:
        """Collect the channels; raises PluginRejected if a decision has nobody to make it."""
        for hook in _DECIDING:
            if not getattr(self._manager.hook, hook).get_hookimpls():
                raise PluginRejected(
                    f"No plugin implements {hook}: do not disable the built-in that does."
                )
        for impl in self._manager.hook.zekt_channels.get_hookimpls():
            for name, channel in _offered(impl):
                if name in self.channels:
                    raise PluginRejected(
                        f"The plugin {impl.plugin_name} offers the channel {name}, which another "
                        "plugin has: rename it, or disable one in ZEKT_DISABLED_PLUGINS."
                    )
                self.channels[name] = channel

    def aggregate(
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
        answer = self._ask(
            "zekt_aggregate", run=run, jobs=jobs, messages=messages, now=now, policy=policy
        )
        if isinstance(answer, datetime) and answer.tzinfo is not None:
            if answer <= now:
                raise PluginFailed("zekt_aggregate must wait for a time that is to come.")
            return answer
        if not isinstance(answer, list | tuple) or not all(isinstance(d, Draft) for d in answer):
            raise PluginFailed("zekt_aggregate must answer a list of drafts or an aware datetime.")
        if not drafts_are_sensible(answer, messages):
            raise PluginFailed("zekt_aggregate must put each message into exactly one envelope.")
        return list(answer)

    def block_reason(
        self,
        subject: Run | Envelope | Delivery,
        facts: RunPolicyFacts | EnvelopePolicyFacts | DeliveryPolicyFacts,
    ) -> str | None:
        """The first reason, if any plugin has one.

        Raises:
            PluginFailed: a plugin raised, or answered something else than a machine word.
        """
        for answer in self._ask("zekt_block_reason", subject=subject, facts=facts):
            if not isinstance(answer, str) or not _is_word(answer):
                raise PluginFailed(
                    "zekt_block_reason must answer a machine word of at most 64 characters, such "
                    "as work_in_progress."
                )
            return answer
        return None

    def retry_delay(self, attempt: Attempt) -> timedelta | None:
        """How long to wait; None: give up. A plugin's mistake leaves it to the next plugin."""
        for answer in self._advise("zekt_retry_delay", attempt=attempt):
            if isinstance(answer, timedelta) and timedelta(0) <= answer <= GIVE_UP_AFTER:
                return answer
            _log.warning("plugin.senseless_answer", hook="zekt_retry_delay")
        return None

    def audited(self, entry: Entry) -> Entry:
        """`entry` with what plugins add to it. A plugin's mistake adds nothing."""
        details: dict[str, str | int] = dict(entry.details)
        for answer in self._advise("zekt_audit_details", entry=entry):
            try:
                merged = {**answer, **details}
                check_details(merged)
            except (TypeError, ValueError, ZektError):
                _log.warning("plugin.senseless_answer", hook="zekt_audit_details")
                continue
            details = merged
        if len(details) == len(entry.details):
            return entry
        return replace(entry, details=details)

    def _ask(self, hook: str, **facts: Any) -> Any:
        try:
            return getattr(self._manager.hook, hook)(**facts)
        except (Exception, SystemExit) as error:
            _log.exception("plugin.failed", hook=hook)
            raise PluginFailed(f"A plugin's {hook} raised {type(error).__name__}.") from error

    def _advise(self, hook: str, **facts: Any) -> Iterator[Any]:
        """Answers one by one, so that a plugin that raises hides nobody else's."""
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                answer = impl.function(*(facts[name] for name in impl.argnames))
            except (Exception, SystemExit):
                _log.exception("plugin.failed", hook=hook, plugin=impl.plugin_name)
                continue
            if answer is not None:
                yield answer


def load(folder: Path | None = None, disabled: Sequence[str] = ()) -> Plugins:
    """Register the built-ins, then every module in `folder`, and check the whole.

    Raises:
        PluginRejected: naming the plugin and what is wrong with it.
    """
    plugins, home = Plugins(), built_in_folder()
    for name in BUILT_IN:
        if name not in disabled:
            plugins.register(_module(home / f"{name}.py"), name)
    extra = folder or (home if home.name == "plugins" else None)
    if folder and not folder.is_dir():
        raise PluginRejected(f"ZEKT_PLUGINS_DIR: there is no folder {folder}.")
    for path in sorted(extra.glob("*.py")) if extra else ():
        own = path.parent.resolve() == home.resolve() and path.stem in BUILT_IN
        if not own and path.stem not in disabled:
            plugins.register(_module(path), path.stem)
    plugins.check()
    return plugins


def _is_word(answer: str) -> bool:
    try:
        check_details({"reason": answer})  # that is where it will stand
    except ZektError:
        return False
    return bool(answer)


def _offered(impl: pluggy.HookImpl) -> list[tuple[str, Channel]]:
    try:
        offered: Sequence[Channel] = impl.function() or ()  # type: ignore[assignment]
        return [(channel.name, channel) for channel in offered]
    except Exception as error:
        raise PluginRejected(
            f"The plugin {impl.plugin_name} cannot say its channels: "
            f"{type(error).__name__}: {error}. Mend it, or name it in ZEKT_DISABLED_PLUGINS."
        ) from error


def _module(path: Path) -> ModuleType:
    name = f"zekt_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:  # pragma: no cover - only for endings other than .py
        raise PluginRejected(f"The plugin {path} cannot be read.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise PluginRejected(
            f"The plugin {path.stem} cannot be imported: {type(error).__name__}: {error}. Mend it, "
            "or name it in ZEKT_DISABLED_PLUGINS."
        ) from error
    return module
