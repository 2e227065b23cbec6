"""The loader: what it takes, what stops the start and how it says so, what senseless answers do."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests import strategies
from tests.factories import ran, repository
from zekt_bot import (
    GIVE_UP_AFTER,
    AggregationPolicy,
    AllowedWorkflow,
    Attempt,
    Delivery,
    Draft,
    Entry,
    Message,
    Outcome,
    Run,
    RunKey,
    RunPolicyFacts,
    retry_delay,
)
from zekt_bot.errors import PluginFailed, PluginRejected
from zekt_bot.hookspecs import hookimpl
from zekt_bot.plugins import Plugins, built_in_folder, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
RUN = Run("run_1", RunKey(1, 10, 1), "cor_1", "gathering", 1, 0, None)
MESSAGES = [Message(f"msg_{n}", "run_1", f"evt_{n}", "released", "0", 2, NOW) for n in (1, 2)]
DELIVERY = Delivery(
    "dlv_1", "evt_1", "subscription", "sub_1", 0, 2, "other", "lane", "retrying", 1, NOW
)
ATTEMPT = Attempt(DELIVERY, 1, Outcome("retry", status=502), timedelta())
REPOSITORY = repository()
ALLOWED = AllowedWorkflow(1, ".github/workflows/a.yml")
FREE = RunPolicyFacts(REPOSITORY, ALLOWED, ran(), from_fork=False)
BUILT_IN_DELAY = retry_delay("dlv_1", 1, timedelta())
ENTRY = Entry("zekt:run:aggregated", "system", details={"envelopes": 2})
BEGIN = "from datetime import timedelta\nfrom zekt_bot import hookimpl\n@hookimpl\n"
CHANNEL = f"""{BEGIN}def zekt_channels():
    class C:
        name = {{!r}}
        def check(self, settings): ...
        async def send(self, request, client): ...
    return [C()]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for plugins."""
    found = tmp_path / "mine"
    found.mkdir()
    return found


def rejection(folder: Path | None, *disabled: str) -> str:
    with pytest.raises(PluginRejected) as caught:
        load(folder, disabled)
    return str(caught.value)


def answering(**answers: Any) -> Plugins:
    """The built-ins and a plugin whose hooks give these answers, or raise them."""

    def hook(answer: Any) -> Any:
        def answered() -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return answered

    class Plugin:
        """Its hooks are set below."""

    for name, answer in answers.items():
        setattr(Plugin, f"zekt_{name}", staticmethod(hookimpl(hook(answer))))
    plugins = load()
    plugins.register(Plugin, "answering")
    return plugins


def test_the_built_ins_are_loaded_once_also_if_their_folder_is_the_one_to_scan(
    tmp_path: Path,
) -> None:
    (tmp_path / "link").symlink_to(built_in_folder())
    for folder in (None, built_in_folder(), tmp_path / "link"):
        assert list(load(folder).channels) == ["repository_dispatch"]


def test_a_file_dropped_into_the_folder_is_loaded(folder: Path) -> None:
    (folder / "pigeon.py").write_text(CHANNEL.format("pigeon"))
    (folder / "notes.txt").write_text("no plugin")
    assert list(load(folder).channels) == ["repository_dispatch", "pigeon"]


def test_a_wheel_has_its_built_ins_inside_and_scans_no_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "zekt_bot"
    shutil.copytree(built_in_folder(), package / "_builtin")
    (package / "_builtin" / "stray.py").write_text("raise AssertionError")
    monkeypatch.setattr(
        "zekt_bot.plugins.loading.__file__", str(package / "plugins" / "loading.py")
    )
    assert built_in_folder() == package / "_builtin"
    assert list(load().channels) == ["repository_dispatch"]


def test_a_disabled_plugin_is_not_imported(folder: Path) -> None:
    (folder / "broken.py").write_text("raise AssertionError")
    assert list(load(folder, ["broken"]).channels) == ["repository_dispatch"]
    sys.modules.pop("zekt_plugin_audit", None)
    load(None, ["audit"])
    assert "zekt_plugin_audit" not in sys.modules


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (f"{BEGIN}def zekt_agregate(run): ...", ["zekt_agregate", "zekt_bot.hookspecs"]),
        (f"{BEGIN}def zekt_aggregate(rum): ...", ["'rum'", "zekt_bot.hookspecs"]),
        ("1 / 0", ["ZeroDivisionError", "ZEKT_DISABLED_PLUGINS"]),
        ("def (", ["SyntaxError", "ZEKT_DISABLED_PLUGINS"]),
        ("import no_such_module_anywhere", ["no_such_module_anywhere", "ZEKT_DISABLED_PLUGINS"]),
        (CHANNEL.format("repository_dispatch"), ["channel repository_dispatch", "rename it"]),
        (f"{BEGIN}def zekt_channels(): return 1 / 0", ["ZeroDivisionError", "its channels"]),
        (f"{BEGIN}def zekt_channels(): return [5]", ["a channel has a name", "its channels"]),
    ],
)
def test_a_plugin_that_is_wrong_stops_the_start_with_its_name_and_the_cure(
    folder: Path, code: str, said: list[str]
) -> None:
    (folder / "mine_own.py").write_text(code)
    text = rejection(folder)
    assert "plugin mine_own " in text
    for part in said:
        assert part in text


def test_a_plugin_cannot_take_the_name_of_another(folder: Path) -> None:
    (folder / "audit.py").write_text("")
    assert rejection(folder) == "There are two plugins audit: give one of them another name."


def test_a_missing_folder_stops_the_start(tmp_path: Path) -> None:
    missing, file = tmp_path / "none", tmp_path / "file"
    file.touch()
    for path in (missing, file):
        assert rejection(path) == f"ZEKT_PLUGINS_DIR: there is no folder {path}."


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("auth", "zekt_block_reason"),
        ("aggregation", "zekt_aggregate"),
        ("dispatch", "zekt_retry_delay"),
    ],
)
def test_a_decision_that_nobody_makes_stops_the_start(folder: Path, name: str, hook: str) -> None:
    assert f"No plugin implements {hook}: do not disable" in rejection(None, name)
    (folder / "instead.py").write_text(f"{BEGIN}def {hook}(): ...")
    assert isinstance(load(folder, [name]), Plugins)


async def test_every_other_built_in_can_be_disabled() -> None:
    assert await load(None, ["audit"]).audited([ENTRY]) == [ENTRY]


async def aggregate(plugins: Plugins) -> Sequence[Draft] | datetime:
    return await plugins.aggregate(RUN, [], MESSAGES, NOW, AggregationPolicy(2.0))


BOTH = [Draft("message", "released", "msg_1"), Draft("message", "released", "msg_2")]


@pytest.mark.parametrize("answer", [BOTH, BOTH[::-1], tuple(BOTH), [Draft("event", "x"), *BOTH]])
async def test_drafts_with_every_message_once_are_taken(answer: Sequence[Draft]) -> None:
    assert await aggregate(answering(aggregate=answer)) == list(answer)


async def test_a_moment_to_wait_until_is_taken_and_none_leaves_it_to_the_built_in() -> None:
    assert await aggregate(answering(aggregate=NOW + timedelta(1))) == NOW + timedelta(1)
    assert await aggregate(answering(aggregate=None)) == BOTH


@pytest.mark.parametrize(
    "answer",
    [
        [],
        BOTH[:1],
        [*BOTH, BOTH[0]],
        [Draft("message", "released", "msg_1,msg_2")],
        [*BOTH, Draft("message", "released", "msg_3")],
        [*BOTH, *[Draft("event", "flood")] * 21],
        iter(BOTH),
        5,
        "soon",
        ["msg_1", "msg_2"],
        NOW.replace(tzinfo=None),
        ValueError("no"),
    ],
)
async def test_a_senseless_aggregation_fails(answer: Any) -> None:
    with pytest.raises(PluginFailed, match="zekt_aggregate"):
        await aggregate(answering(aggregate=answer))


async def test_a_reason_of_any_plugin_blocks() -> None:
    assert await answering(block_reason=None).block_reason(RUN, FREE) is None
    assert await answering(block_reason="quota:day").block_reason(RUN, FREE) == (
        "quota:day",
        "answering",
    )


@pytest.mark.parametrize(
    "answer", ["", "x" * 65, "not ready yet", "a\nb", "späť", 5, True, b"no", []]
)
async def test_a_senseless_reason_fails_and_lets_nothing_through(answer: Any) -> None:
    with pytest.raises(PluginFailed, match="zekt_block_reason must answer a machine word"):
        await answering(block_reason=answer).block_reason(RUN, FREE)


async def test_a_policy_that_raises_lets_nothing_through() -> None:
    with capture_logs() as logs, pytest.raises(PluginFailed, match="raised KeyError"):
        await answering(block_reason=KeyError("no")).block_reason(RUN, FREE)
    assert [(line["event"], line["hook"]) for line in logs] == [
        ("plugin.failed", "zekt_block_reason")
    ]


@settings(max_examples=strategies.at_length(20))  # each loads the built-ins anew
@given(strategies.machine_words.filter(bool))
async def test_what_the_audit_can_hold_is_a_reason(word: str) -> None:
    assert await answering(block_reason=word).block_reason(RUN, FREE) == (word, "answering")
    assert Entry("zekt:run:blocked", "system", details={"reason": word})


@pytest.mark.parametrize("answer", [timedelta(), timedelta(seconds=1), GIVE_UP_AFTER])
async def test_a_plugin_may_set_the_delay(answer: timedelta) -> None:
    assert await answering(retry_delay=answer).retry_delay(ATTEMPT) == answer


SENSELESS = [timedelta(microseconds=-1), GIVE_UP_AFTER + timedelta(microseconds=1), 5, "soon", []]


@pytest.mark.parametrize("answer", [*SENSELESS, ValueError("no")])
async def test_a_senseless_delay_is_logged_and_leaves_the_built_ins(answer: Any) -> None:
    plugins = answering(retry_delay=answer)
    with capture_logs() as logs:
        assert await plugins.retry_delay(ATTEMPT) == BUILT_IN_DELAY
    assert [(line["event"], line["hook"]) for line in logs] == [
        ("plugin.failed", "zekt_retry_delay")
    ]


async def test_if_every_plugin_abstains_there_is_no_delay() -> None:
    plugins = answering(retry_delay=None)
    assert await plugins.retry_delay(ATTEMPT) == BUILT_IN_DELAY
    assert await plugins.retry_delay(replace(ATTEMPT, age=GIVE_UP_AFTER)) is None


async def test_details_of_every_plugin_are_added_but_none_is_replaced() -> None:
    plugins = answering(audit_details={"site": "eu-1", "envelopes": 99})
    assert await plugins.audited([ENTRY]) == [
        replace(ENTRY, details={"site": "eu-1", "envelopes": 2})
    ]


BAD_DETAILS: list[Any] = [
    {"note": "free text"},
    {"a b": 1},
    {"flag": True},
    {"none": None},
    {5: "x"},
    {f"k{n}": n for n in range(16)},
    ["site"],
    "site",
    5,
    ValueError("no"),
]


@pytest.mark.parametrize("answer", BAD_DETAILS)
async def test_senseless_details_are_logged_and_leave_the_entry_as_it_is(answer: Any) -> None:
    plugins = answering(audit_details=answer)
    with capture_logs() as logs:
        assert await plugins.audited([ENTRY]) == [ENTRY]
    assert [line["hook"] for line in logs] == ["zekt_audit_details"]


@settings(max_examples=strategies.at_length(20))
@given(
    strategies.entries, st.dictionaries(st.text(max_size=5), st.text(max_size=70) | st.integers())
)
async def test_whatever_a_plugin_adds_the_entry_keeps_its_own(
    entry: Entry, added: Mapping[str, str | int]
) -> None:
    (written,) = await answering(audit_details=added).audited([entry])
    assert written.details.items() >= entry.details.items()
    assert replace(written, details=entry.details) == entry


@pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
def test_a_wrapper_which_could_take_back_a_refusal_is_rejected(kind: str) -> None:
    class Wrapper:
        @hookimpl(wrapper=kind == "wrapper", hookwrapper=kind == "hookwrapper")
        def zekt_block_reason(self) -> Any:
            yield
            return []

    with pytest.raises(PluginRejected, match="wrapper"):
        Plugins().register(Wrapper(), "wrapping")


async def test_a_plugin_that_wants_to_exit_fails_like_any_other() -> None:
    class Leaving:
        @hookimpl
        def zekt_block_reason(self) -> None:
            raise SystemExit

    plugins = load()
    plugins.register(Leaving(), "leaving")
    with pytest.raises(PluginFailed, match="SystemExit"):
        await plugins.block_reason(RUN, FREE)
