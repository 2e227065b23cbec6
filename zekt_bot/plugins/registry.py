"""Which plugins there are, what each implements, and what stops the start."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import partial
from inspect import getattr_static, isclass, iscoroutinefunction, unwrap
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pluggy

from zekt_bot.errors import PluginRejected
from zekt_bot.github.manifest import subscribed_events
from zekt_bot.github.octo import plugin_handlers
from zekt_bot.hookspecs import PROJECT, ZektSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from zekt_bot.hookspecs import Channel

Offered = TypeVar("Offered")

_NEEDED = ("zekt_accept_message", "zekt_aggregate", "zekt_block_reason", "zekt_retry_delay")
_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,63}")
_EVENT = re.compile(r"[a-z_]{1,64}")
HOOKS = tuple(name for name in vars(ZektSpec) if name.startswith("zekt_"))


@dataclass(slots=True)
class Plugin:
    """One registered plugin, as `zekt plugins` shows it.

    `origin` is `built-in`, the distribution that brought it, or its file. `named` are GitHub's
    events that its `zekt_github_events` says, `handlers` its functions of octomachinery's kind,
    `events` all that it hears of. `problems`: what is wrong with it though it was loaded.
    """

    name: str
    version: str | None = None
    origin: str = "code"
    module: str = ""
    hooks: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    handlers: frozenset[Callable[..., Any]] = frozenset()
    problems: list[str] = field(default_factory=list)

    @property
    def built_in(self) -> bool:
        """Whether it is one of Zekt's own."""
        return self.origin == "built-in"


class Impl(NamedTuple):
    """A plugin's implementation of a hook, which takes these of its arguments."""

    plugin: Plugin
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    built_in: bool


class Registry:
    """The plugin manager, and what it does not check."""

    def __init__(self) -> None:
        """Begin with none."""
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(ZektSpec)
        self.plugins: dict[str, Plugin] = {}
        self.channels: dict[str, Channel] = {}
        self.owners: dict[str, Plugin] = {}
        self.heard: set[str] = set()  # the events that any of them hears of
        self._impls: dict[str, tuple[Impl, ...]] = dict.fromkeys(HOOKS, ())

    def impls(self, hook: str) -> tuple[Impl, ...]:
        """The implementations of a hook in the order in which they are asked."""
        return self._impls[hook]

    def has(self, plugin: object) -> bool:
        """Whether this very object is registered."""
        return bool(self._manager.is_registered(plugin))

    def register(self, plugin: object, about: Plugin) -> None:
        """Add a plugin.

        Raises:
            PluginRejected: its name is taken, or a hook or an argument is misspelt or of the wrong
                kind.
        """
        name = about.name
        if self._manager.has_plugin(name):
            raise PluginRejected(f"There are two plugins {name}: give one of them another name.")
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            _check_names(plugin)
            about.hooks = self._hooks_of(plugin)
        except (ValueError, pluggy.PluginValidationError) as error:
            raise PluginRejected(
                f"The plugin {name} cannot be registered: {error}. Spell hooks and arguments as "
                "zekt_bot.hookspecs does."
            ) from None
        self.plugins[name] = about
        self._impls |= {hook: self._asked(hook) for hook in about.hooks}

    def _asked(self, hook: str) -> tuple[Impl, ...]:
        found: list[pluggy.HookImpl] = getattr(self._manager.hook, hook).get_hookimpls()
        owners = [(self.plugins[impl.plugin_name], impl) for impl in reversed(found)]
        return tuple(
            Impl(owner, impl.function, tuple(impl.argnames), owner.built_in)
            for owner, impl in owners
        )

    def _hooks_of(self, plugin: object) -> tuple[str, ...]:
        """What it implements. A wrapper could take back what another plugin said."""
        hooks = []
        for caller in self._manager.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.plugin is not plugin:
                    continue
                if caller.name not in HOOKS:  # pluggy passes over what is marked as optional
                    raise ValueError(f"there is no hook {caller.name}")
                if impl.wrapper or impl.hookwrapper:
                    raise ValueError(f"{caller.name} is a wrapper, which could weaken the policy")
                if _lacks_object(plugin, impl.function):
                    raise ValueError(f"{caller.name} stands in a class: name an object of it")
                wanted = iscoroutinefunction(getattr(ZektSpec, caller.name))
                if iscoroutinefunction(impl.function) is not wanted:
                    kind = "`async def`" if wanted else "a plain `def`"
                    raise ValueError(f"{caller.name} must be {kind}")
                hooks.append(caller.name)
        return tuple(sorted(hooks, key=HOOKS.index))

    def check(self) -> None:
        """Collect what is registered once.

        Raises:
            PluginRejected: a decision has nobody to make it, a channel's name is taken, or a
                register hook raised or answered senselessly.
        """
        for hook in _NEEDED:
            if not self.impls(hook):
                raise PluginRejected(
                    f"No plugin implements {hook}: do not disable the built-in that does."
                )
        for impl in self.impls("zekt_channels")[::-1]:
            read = partial(_channel, impl.plugin)
            for name, channel in _offered(impl, "its channels", read):
                self._add_channel(impl.plugin, name, channel)
        for impl in self.impls("zekt_github_events"):
            events = _offered(impl, "its events", partial(_event, impl.plugin))
            impl.plugin.named = frozenset(events)
            impl.plugin.events |= impl.plugin.named
            self.heard |= impl.plugin.named
        for plugin in self.plugins.values():
            if not (plugin.hooks or plugin.handlers):
                plugin.problems.append("It does nothing: none of its functions is a hook.")
            hears = "zekt_github_event" in plugin.hooks
            if hears is not ("zekt_github_events" in plugin.hooks):
                lacks = "zekt_github_events" if hears else "zekt_github_event"
                plugin.problems.append(f"It hears of no event: it lacks {lacks}.")
            unsent = sorted(plugin.events - subscribed_events()) if plugin.events else []
            plugin.problems += [
                f"GitHub does not send {event}: app.yml does not subscribe to it, and the App at "
                "GitHub may not either."
                for event in unsent
            ]

    def adopt(self, plugin: Plugin, before: Collection[Callable[..., Any]]) -> None:
        """Give a plugin the handlers that octomachinery has since `before`, or had of its module.

        A package that was imported earlier in this process registers nothing again. Of several
        plugins of one package each handler is the first one's.
        """
        owned = {handler for each in self.plugins.values() for handler in each.handlers}
        for handler, events in plugin_handlers().items():
            if handler in owned:
                continue
            if handler not in before or _belongs(handler, plugin.module):
                plugin.handlers |= {handler}
                plugin.events |= events
                self.heard |= events

    def _add_channel(self, plugin: Plugin, name: str, channel: Channel) -> None:
        if name in self.channels:
            raise PluginRejected(
                f"The plugin {plugin.name} offers the channel {name}, which another plugin has: "
                "rename it, or disable one in ZEKT_DISABLED_PLUGINS."
            )
        self.channels[name] = channel
        self.owners[name] = plugin


def _belongs(handler: Callable[..., Any], module: str) -> bool:
    """Whether the module is imported as it was when it registered this handler."""
    inner = unwrap(handler)
    name = inner.__module__
    live = getattr(sys.modules.get(name), "__dict__", None) is getattr(inner, "__globals__", 0)
    return live and (name == module or name.startswith(f"{module}."))


def _check_names(plugin: object) -> None:
    """A function that looks like a hook, but is not marked as one, would do nothing unnoticed."""
    for name in (name for name in dir(plugin) if name.startswith("zekt_")):
        member = getattr(plugin, name)
        if callable(member) and not hasattr(member, f"{PROJECT}_impl"):
            raise ValueError(f"{name} is not marked with @hookimpl")


def _lacks_object(plugin: object, function: Callable[..., Any]) -> bool:
    """Whether it is a method of a class that stands for itself: it would miss its `self`."""
    static = getattr_static(plugin, function.__name__, None)
    return isclass(plugin) and static is function


def _channel(plugin: Plugin, channel: Any) -> tuple[str, Channel]:
    """A channel by its name."""
    name: Any = getattr(channel, "name", None)
    named = type(name) is str and _CHANNEL.fullmatch(name)
    whole = callable(getattr(channel, "check", None)) and not isclass(channel)
    if not (named and whole and iscoroutinefunction(getattr(channel, "send", None))):
        raise PluginRejected(
            f"The plugin {plugin.name} cannot say its channels: a channel has a name (1 to 64 of "
            "a-z, 0-9 and _), check and an `async def send`, and is an object, not its class."
        )
    return name, channel


def _event(plugin: Plugin, event: Any) -> str:
    if type(event) is not str or not _EVENT.fullmatch(event):
        raise PluginRejected(
            f"The plugin {plugin.name} names an event that is none: a name such as workflow_run is "
            "wanted."
        )
    return event


def _offered(impl: Impl, what: str, read: Callable[[Any], Offered]) -> list[Offered]:
    try:
        offered = impl.function() or ()
        if isinstance(offered, str):  # its letters are none
            raise TypeError("a list is wanted, not a text")
        return [read(each) for each in offered]
    except (KeyboardInterrupt, PluginRejected):
        raise
    except BaseException as error:
        raise PluginRejected(
            f"The plugin {impl.plugin.name} cannot say {what}: {type(error).__name__}: {error}. "
            "Mend it, or name it in ZEKT_DISABLED_PLUGINS."
        ) from error
