"""The facade and the registry: pages, channels, kinds, and plugins that are installed."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.factories import ran, repository
from zekt_bot import (
    AggregationPolicy,
    AllowedWorkflow,
    Attempt,
    Delivery,
    Entry,
    Outcome,
    Run,
    RunKey,
    RunPolicyFacts,
    hookimpl,
    retry_delay,
)
from zekt_bot.errors import InvalidInput, PluginFailed, PluginRejected
from zekt_bot.plugins import Plugins, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
ENTRY = Entry("zekt:run:aggregated", "system")
FREE = RunPolicyFacts(repository(), AllowedWorkflow(1, ran().workflow_path), ran(), from_fork=False)
DELIVERY = Delivery(
    "dlv_1", "evt_1", "subscription", "sub_1", 0, 2, "other", "lane", "retrying", 1, NOW
)


def run(number: int) -> Run:
    return Run(f"run_{number}", RunKey(1, number, 1), "cor_1", "gathering", 1, 0, None)


class Choosy:
    """Blocks even runs, fails on every fifth."""

    @hookimpl
    def zekt_block_reason(self, subject: Run) -> str | None:
        number = subject.key.run_id
        if number % 5 == 0:
            raise ValueError(number)
        return "even" if number % 2 == 0 else None


async def test_a_page_has_an_answer_of_its_own_for_each_row() -> None:
    plugins = load()
    plugins.register(Choosy(), "choosy")
    answers = await plugins.block_reasons([(run(n), FREE) for n in range(1, 11)])
    shown = ["failed" if isinstance(answer, PluginFailed) else answer for answer in answers]
    even = ("even", "choosy")
    assert shown == [None, even, None, even, "failed", even, None, even, None, "failed"]
    assert await plugins.block_reasons([]) == []


class Words:
    """Adds ten details."""

    def __init__(self, letter: str) -> None:
        self.letter = letter

    @hookimpl
    def zekt_audit_details(self) -> dict[str, int]:
        return {f"{self.letter}{n}": n for n in range(10)}


async def test_what_would_be_too_many_details_together_is_left_out_of_the_later_answer() -> None:
    plugins = load()
    plugins.register(Words("b"), "second")
    plugins.register(Words("a"), "first")
    (entry,) = await plugins.audited([ENTRY])
    assert set(entry.details) == {f"a{n}" for n in range(10)}


class Hanging:
    """Gives no advice, for a long time."""

    def __init__(self) -> None:
        self.free, self.asked = threading.Event(), 0

    @hookimpl
    def zekt_retry_delay(self) -> None:
        self.asked += 1
        self.free.wait(20)

    @hookimpl
    def zekt_audit_details(self) -> None:
        self.asked += 1


@pytest.mark.usefixtures("hurried")
async def test_advice_of_a_plugin_that_is_off_is_not_asked_any_more() -> None:
    plugins, hanging = load(), Hanging()
    plugins.register(hanging, "hanging")
    attempt = Attempt(DELIVERY, 1, Outcome("retry", status=502), timedelta())
    for _ in range(5):
        assert await plugins.retry_delay(attempt) == retry_delay("dlv_1", 1, timedelta())
    assert await plugins.audited([ENTRY]) == [ENTRY]
    hanging.free.set()
    assert hanging.asked == 3


async def test_if_nobody_aggregates_a_run_it_fails(tmp_path: Path) -> None:
    code = "from zekt_bot import hookimpl\n@hookimpl\ndef zekt_aggregate(): ...\n"
    (tmp_path / "silent.py").write_text(code)
    plugins = load(tmp_path, ["aggregation"])
    with pytest.raises(PluginFailed, match="No plugin answered zekt_aggregate"):
        await plugins.aggregate(run(1), [], [], NOW, AggregationPolicy(2.0))


class Hook:
    """A channel whose check does what it was made with."""

    name = "hook"

    def __init__(self, check: Callable[[Mapping[str, str]], Any]) -> None:
        self.check = check

    async def send(self, request: object, client: object) -> Outcome:
        raise NotImplementedError


def offering(check: Callable[[Mapping[str, str]], Any]) -> Plugins:
    """The built-ins and a plugin with this channel."""

    class Offering:
        @hookimpl
        def zekt_channels(self) -> list[Any]:
            return [Hook(check)]

    return load(more={"offering": Offering()})


def _refuse(settings: Mapping[str, str]) -> None:
    raise ValueError(f"an address\nis wanted, not {settings}")


async def test_settings_give_the_lane_of_a_host() -> None:
    plugins = offering(lambda settings: settings["url"].partition("//")[2])
    assert await plugins.check_channel("hook", {"url": "https://A.example"}) == "hook:a.example"
    assert await offering(lambda _: None).check_channel("hook", {}) is None
    long = await offering(lambda _: "h" * 253).check_channel("hook", {})
    assert long is not None
    assert len(long) == 120
    assert await plugins.check_channel("repository_dispatch", {}) is None


@pytest.mark.parametrize(
    ("name", "check", "said"),
    [
        ("hook", _refuse, "does not take these settings: an address is wanted, not"),
        ("pigeon", _refuse, "choose one of hook, repository_dispatch"),
        ("repository_dispatch", _refuse, "repository_dispatch has no settings"),
    ],
)
async def test_wrong_settings_are_said_to_whoever_gave_them(
    name: str, check: Callable[[Mapping[str, str]], Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        await offering(check).check_channel(name, {"a": "b"})


@pytest.mark.parametrize("answer", [5, "", "two words", "https://a.example/", b"a.example"])
async def test_a_channel_that_says_no_host_fails(answer: Any) -> None:
    with pytest.raises(PluginFailed, match="must answer a host"):
        await offering(lambda _: answer).check_channel("hook", {})


async def test_a_channel_that_raises_anything_else_fails() -> None:
    with pytest.raises(PluginFailed, match="raised KeyError in check of hook"):
        await offering(lambda settings: settings["none"]).check_channel("hook", {})


MARKED = "from zekt_bot import hookimpl\n@hookimpl\n"
OFFERING = f"""
class Mine:
    name = "mine"
    def check(self, settings): ...
    {{}}
{MARKED}
def zekt_channels(): return [{{}}]
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def zekt_block_reason(subject): ...", "zekt_block_reason is not marked with @hookimpl"),
        (
            f"{MARKED}async def zekt_block_reason(subject): ...",
            "zekt_block_reason must be a plain `def`",
        ),
        (f"{MARKED}def zekt_audited(entry): ...", "zekt_audited must be `async def`"),
        (f"{MARKED}def zekt_github_events(): return ['Push!']", "names an event that is none"),
        (f"{MARKED}def zekt_github_events(): return 'push'", "a list is wanted, not a text"),
        (
            f"{MARKED[:-1]}(optionalhook=True)\ndef zekt_blok_reason(subject): ...",
            "there is no hook zekt_blok_reason",
        ),
        (OFFERING.format("async def send(self, r, c): ...", "Mine"), "an object, not its class"),
        (OFFERING.format("def send(self, r, c): ...", "Mine()"), "an `async def send`"),
        (OFFERING.format("name = property(lambda self: 1 / 0)", "Mine()"), "ZeroDivisionError"),
        (f"{MARKED}def zekt_github_events(): raise SystemExit", "cannot say its events"),
        (f"{MARKED}def zekt_channels(): raise SystemExit", "cannot say its channels"),
        ("raise SystemExit", "cannot be imported: SystemExit"),
    ],
)
def test_what_would_do_nothing_or_not_what_was_meant_stops_the_start(
    tmp_path: Path, code: str, said: str
) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(PluginRejected, match=said) as caught:
        load(tmp_path)
    assert "The plugin mine " in str(caught.value)


@pytest.mark.parametrize(
    "code",
    ["raise KeyboardInterrupt", f"{MARKED}def zekt_channels(): raise KeyboardInterrupt"],
)
def test_an_interrupt_while_loading_is_the_operators(tmp_path: Path, code: str) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path)


HANDLER = """
from octomachinery.routing import process_event

@process_event("star")
async def starred(event): ...
"""


def test_an_installed_plugin_is_found_named_and_disabled_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "acme_ears-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-ears\nVersion: 1.5\n")
    (about / "entry_points.txt").write_text("[zekt]\nears = acme_ears\n")
    (tmp_path / "acme_ears.py").write_text(HANDLER)
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):  # the second time it is imported already, and registers nothing anew
        found = load().registry.plugins["ears"]
        assert (found.origin, found.version, found.events) == (
            "acme-ears",
            "1.5",
            frozenset({"star"}),
        )
        assert [handler.__name__ for handler in found.handlers] == ["starred"]
    assert "ears" not in load(None, ["ears"]).registry.plugins
    with pytest.raises(PluginRejected, match=r"no plugin acme-ears, only .*ears"):
        load(None, ["acme-ears"])  # the package's name, not the plugin's


def install(folder: Path, entry_points: str, **modules: str) -> None:
    """The package `acme` with these modules, as pip lays it out."""
    about, package = folder / "acme-1.0.dist-info", folder / "acme"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[zekt]\n{entry_points}\n")
    package.mkdir()
    for name, code in {"__init__": "", **modules}.items():
        (package / f"{name}.py").write_text(code)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which packages are imported, for this test alone."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


def test_of_two_plugins_of_one_package_each_handler_is_one_ones(site: Path) -> None:
    install(site, "one = acme.one\ntwo = acme.two", one=HANDLER, two=HANDLER.replace("red", "s"))
    for _ in range(2):
        plugins = load().registry.plugins
        handlers = [handler for one in plugins.values() for handler in one.handlers]
        assert sorted(handler.__name__ for handler in handlers) == ["starred", "stars"]


def test_a_class_of_methods_stops_the_start_and_an_object_of_it_is_a_plugin(site: Path) -> None:
    method = "    @hookimpl\n    def zekt_block_reason(self, subject): return 'full'\n"
    code = f"from zekt_bot import hookimpl\nclass Mine:\n{method}mine = Mine()\n"
    install(site, "ours = acme.ours:Mine\nmine = acme.ours:mine", ours=code)
    with pytest.raises(PluginRejected, match=r"The plugin ours .* name an object of it"):
        load()
    assert load(None, ["ours"]).registry.plugins["mine"].hooks == ("zekt_block_reason",)


def test_one_that_does_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def block_reason(subject): return 'full'")
    (tmp_path / "ears.py").write_text(HANDLER.replace("star", "push"))
    found = load(tmp_path).registry.plugins
    assert found["mine"].problems == ["It does nothing: none of its functions is a hook."]
    assert "It does nothing" not in str(found["ears"].problems)
