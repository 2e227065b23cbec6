"""Each noun's commands on a real database: what they say, and that people may do what is theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.server import RELEASE
from tests.cli.line import ALLOW, CONSUMER, PROVIDER, PUBLISH, SERVICE, Line, line, published

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["line"]


async def test_accounts_are_admitted_and_shut_out(line: Line) -> None:
    assert "is blocked" in await line.does("accounts", "block", "kestrel-bank")
    assert "already" in await line.does("accounts", "block", "kestrel-bank")
    assert "is admitted" in await line.does("accounts", "allow", "aurora-labs")
    assert [row["login"] for row in await line.json("accounts", "list")] == [
        "aurora-labs",
        "kestrel-bank",
    ]
    (blocked,) = await line.json("accounts", "list", "--rule", "block")
    assert blocked["login"] == "kestrel-bank"
    assert "kestrel-bank" in await line.does("accounts", "list", "--before", "aurora-labs")
    assert "no: the operator blocked it" in await line.does("accounts", "show", "kestrel-bank")
    assert "yes, by the operator" in await line.does("accounts", "show", "aurora-labs")
    refused = await line.ended("repositories", "enable", CONSUMER)
    assert (refused.code, "zekt accounts allow" in refused.err) == (3, True)
    assert (await line.ended("accounts", "show", "nobody")).code == 4
    assert (await line.ended("accounts", "block", "nobody")).code == 4


async def test_repositories_take_part_and_cease_to(line: Line) -> None:
    assert "zekt workflows allow" in await line.does("repositories", "enable", PROVIDER)
    as_consumer = ("repositories", "enable", PROVIDER, "--as-consumer")
    assert "zekt subscriptions request" in await line.does(*as_consumer)
    assert "provider and consumer" in await line.does("repositories", "list")
    disabled = await line.does("repositories", "disable", PROVIDER, "--as-consumer")
    assert "--as-consumer" in disabled
    (row,) = await line.json("repositories", "list")
    assert row == await line.json("repositories", "show", PROVIDER)
    assert (row["provider"], row["consumer"]) == (True, False)
    assert "provider" in await line.does("repositories", "show", PROVIDER)
    assert (await line.ended("repositories", "show", CONSUMER)).code == 4


async def test_workflows_are_listed_as_github_has_them(line: Line) -> None:
    await line.does("repositories", "enable", PROVIDER)
    (row,) = await line.json("workflows", "list", PROVIDER)
    assert (row["path"], row["allowed"], row["state"]) == (RELEASE, False, "active")
    assert await line.json("workflows", "list", PROVIDER, "--allowed") == []
    await line.does(*ALLOW, "--branch", "main", "--event", "push", "--forks")
    shown = await line.json("workflows", "show", PROVIDER, RELEASE)
    assert shown["allowed"]
    assert len(await line.json("workflows", "list", PROVIDER, "--allowed")) == 1
    assert shown["conditions"] == {
        "branches": ["main"],
        "events": ["push"],
        "conclusions": ["success", "failure"],
        "forks": True,
    }
    told = await line.does("workflows", "show", PROVIDER, RELEASE)
    facts = dict(row.split("  ", 1) for row in told.splitlines())
    assert (facts["branches"].strip(), facts["started by"].strip()) == ("main", "push")
    await line.does(*ALLOW)
    assert "any event but" in await line.does("workflows", "show", PROVIDER, RELEASE)
    assert "Release" in await line.does("workflows", "list", PROVIDER)
    assert "active" in await line.does("workflows", "show", PROVIDER, RELEASE)
    nothing = await line.ended("workflows", "list", PROVIDER, "--before", RELEASE)
    assert (nothing.code, nothing.out) == (0, "")
    assert (await line.ended("workflows", "show", PROVIDER, ".github/workflows/x.yml")).code == 4
    assert "no more" in await line.does("workflows", "disallow", PROVIDER, RELEASE)
    assert "nothing was changed" in await line.does("workflows", "disallow", PROVIDER, RELEASE)


async def test_a_service_says_all_that_its_owner_wants(line: Line, tmp_path: Path) -> None:
    await line.does("repositories", "enable", PROVIDER)
    await line.does(*ALLOW)
    text = tmp_path / "about.md"
    text.write_text("# Releases\n\nof *payments*\n")
    words: tuple[str, ...] = (
        "--title",
        "Releases",
        "--description-file",
        str(text),
        "--tag",
        "release",
    )
    words += ("--tag", "payments", "--alias", "northern-lights", "--visibility", "private")
    words += ("--unlisted", "--hidden-source", "--event-type", "*", "--approve-account", "mia")
    words += ("--secrets", "refuse")
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    words += ("--schema-file", str(schema))
    published = await line.ended(*PUBLISH, *words)
    assert (published.code, published.err.startswith("Warning: ")) == (0, True)
    assert "northern-lights/release is published" in published.out
    shown = await line.json("services", "show", SERVICE)
    assert {name: shown[name] for name in ("title", "description", "tags", "alias")} == {
        "title": "Releases",
        "description": "# Releases\n\nof *payments*\n",
        "tags": ["release", "payments"],
        "alias": "northern-lights",
    }
    assert (shown["visibility"], shown["listed"], shown["hidden_source"]) == (
        "private",
        False,
        True,
    )
    assert (shown["event_types"], len(shown["approves"])) == (["*"], 1)
    assert (shown["secrets"], shown["message_schema"]) == ("refuse", {"type": "object"})
    assert '  "type": "object"' in await line.does("services", "show", SERVICE)
    assert "a message with one is refused" in await line.does("services", "show", SERVICE)

    edit = ("services", "edit", SERVICE)
    plain = ("--tag", "", "--shown-source", "--alias", "", "--listed", "--description", "Short.")
    edited = await line.ended(*edit, *plain, "--event-type", "released", "--approve-account", "")
    assert (edited.code, edited.err) == (0, "")
    after = await line.json("services", "show", SERVICE)
    kept = {"title": "Releases", "visibility": "private"}
    new: dict[str, Any] = {
        "tags": [],
        "alias": None,
        "listed": True,
        "description": "Short.",
        "approves": [],
        "approves_logins": [],
    }
    assert after == {**shown, **kept, **new, **{"hidden_source": False}} | {
        "event_types": ["released"],
        "service": SERVICE,
    }
    assert "published" in await line.does("services", "list", "--repository", PROVIDER)
    assert "Short." in await line.does("services", "show", SERVICE)

    assert "unpublished" in await line.does("services", "unpublish", SERVICE)
    assert "unpublished" in await line.does("services", "list")
    assert (await line.ended("services", "unpublish", SERVICE)).code == 3
    await line.does(*PUBLISH)
    assert (await line.json("services", "show", SERVICE))["title"] == "Releases"


async def test_one_thing_is_told_in_words(line: Line) -> None:
    about = ("--description", "# Releases\n\nof *payments*", "--approve-account", "aurora-labs")
    await published(line, *about, "--approve-account", "mia", "--visibility", "private")
    told = await line.does("services", "show", SERVICE)
    facts = dict(row.split("  ", 1) for row in told.splitlines() if "  " in row)
    assert facts["who may ask"].strip() == "nobody: its provider invites"
    assert facts["workflow"].strip() == RELEASE
    approved = facts["approves at once"].strip()
    assert approved.startswith("aurora-labs, account ")  # of mia's account Zekt has not heard
    assert told.endswith("\n\n# Releases\n\nof *payments*\n")
    told = await line.does("repositories", "show", PROVIDER)
    facts = dict(row.split("  ", 1) for row in told.splitlines())
    assert facts["visible to"].strip() == "its own people"
    assert facts["takes part as"].strip() == "provider"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("services", "edit", SERVICE), 2),
        (("services", "edit", SERVICE, "--description", "a", "--description-file", "-"), 2),
        (("services", "edit", SERVICE, "--title", "a"), 4),
        (("services", "edit", "release", "--title", "a"), 3),
        (("services", "show", SERVICE), 4),
        (("services", "list", "--repository", CONSUMER), 4),
        (("services", "unpublish", SERVICE), 4),
        (("subscriptions", "show", "sub_0"), 4),
        (("subscriptions", "show", SERVICE, CONSUMER), 4),
        (("subscriptions", "show", SERVICE, CONSUMER, "sub_0"), 2),
        (("subscriptions", "request", SERVICE, CONSUMER, "--setting", "url"), 2),
        (("subscriptions", "request", SERVICE, CONSUMER, "--setting-file", "url=/no/file"), 2),
        (("subscriptions", "approve", "sub_0"), 4),
        (("pause", "--account", "nobody"), 4),
        (("pause", "--account", "aurora-labs", "--service", SERVICE), 3),
        (("events", "list", "--as", "nobody"), 4),
        (("events", "list", "--as", "aurora-labs"), 4),
        (("events", "list", "--as", "no login"), 3),
    ],
)
async def test_what_cannot_be_done_has_its_exit_code(
    line: Line, words: tuple[str, ...], code: int
) -> None:
    ended = await line.ended(*words)
    assert (ended.code, ended.out) == (code, "")
    assert "Traceback" not in ended.err


async def test_sending_is_put_on_hold_and_goes_on(line: Line) -> None:
    await line.does("repositories", "enable", PROVIDER)
    target = ("--account", "aurora-labs")
    assert "everything is on hold" in await line.does("pause")
    held = await line.does("pause", *target)
    assert held == (
        "Sending of aurora-labs is on hold. `zekt resume --account aurora-labs` ends that.\n"
    )
    assert "already" in await line.does("pause", *target)
    whole, one = await line.json("pauses", "list")
    assert whole["subject"] == "all"
    assert await line.json("pauses", "list", "--before", "all") == [one]
    assert one["name"] == "aurora-labs"
    assert "account aurora-labs" in await line.does("pauses", "list")
    assert (await line.ended("pause", "--account", "")).code == 3
    assert "goes on; 0 deliveries" in await line.does("resume", *target)
    assert "was not on hold" in await line.does("resume", *target)
    assert "goes on" in await line.does("resume")


# What only the operator may do, and whom each of the others is for.
OPERATORS: tuple[tuple[str, ...], ...] = (
    ("accounts", "list"),
    ("accounts", "show", "aurora-labs"),
    ("accounts", "allow", "aurora-labs"),
    ("accounts", "block", "aurora-labs"),
    ("pause",),
    ("resume",),
    ("pauses", "list"),
    ("audit", "list"),
    ("audit", "show", "chain-0000:1"),
    ("repositories", "list"),
    ("events", "list"),
    ("deliveries", "list"),
    ("messages", "list"),
)
PROVIDERS: tuple[tuple[str, ...], ...] = (
    ("repositories", "show", PROVIDER),
    ("repositories", "enable", PROVIDER),
    ("workflows", "list", PROVIDER),
    ("workflows", "show", PROVIDER, RELEASE),
    ("workflows", "allow", PROVIDER, RELEASE, "--branch", "main"),
    ("services", "edit", SERVICE, "--title", "Releases"),
    ("services", "list", "--repository", PROVIDER),
    ("events", "list", "--repository", PROVIDER),
    ("messages", "list", "--repository", PROVIDER),
    ("deliveries", "list", "--service", SERVICE),
    ("services", "unpublish", SERVICE),
    PUBLISH,
    ("workflows", "disallow", PROVIDER, RELEASE),
    ("repositories", "disable", PROVIDER),
)


async def test_what_is_the_operators_is_no_persons(line: Line) -> None:
    for words in OPERATORS:
        ended = await line.ended(*words, "--as", "ada")
        assert (ended.code, ended.out) == (5, ""), words


async def test_people_do_with_as_what_github_lets_them_manage(line: Line) -> None:
    await published(line)
    for words in PROVIDERS:
        ended = await line.ended(*words, "--as", "mia")
        assert ended.code in {4, 5}, words  # 4: it may not even be known that it is there
        assert ended.out == ""
        await line.does(*words, "--as", "ada")
    (first, *_) = await line.json("audit", "list", "--actor", "person:*")
    assert first["verb"] == "person:repository:disabled"
