"""The commands on subscriptions: named by ends or id, each side with its own say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.line import CONSUMER, SERVICE, Line, line, published
from tests.pigeon import PIGEON

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["line"]


async def test_a_subscription_goes_its_way_named_by_its_ends_or_its_id(
    line: Line, tmp_path: Path
) -> None:
    await published(line, "--event-type", "released", "--event-type", "withdrawn")
    ask = ("subscriptions", "request", SERVICE, CONSUMER, "--words", "We redeploy on it.")
    asked = await line.does(*ask, "--event-type", "released", "--branch", "main", "--as", "mia")
    assert f"zekt subscriptions approve {SERVICE} {CONSUMER}" in asked
    (row,) = await line.json("subscriptions", "list", "--state", "requested")
    ends, one = (SERVICE, CONSUMER), row["id"]
    assert row == await line.json("subscriptions", "show", one)
    assert row == await line.json("subscriptions", "show", *ends, "--as", "mia")
    assert (row["words"], row["filters"]["branches"]) == ("We redeploy on it.", ["main"])
    assert "We redeploy on it." in await line.does("subscriptions", "list", "--service", SERVICE)

    reject = ("subscriptions", "reject", one, "--words", "Not yet.", "--as", "ada")
    assert "is rejected" in await line.does(*reject)
    assert "Not yet." in await line.does("subscriptions", "show", *ends)
    await line.does(*ask, "--event-type", "released", "--as", "mia")
    assert "is approved" in await line.does("subscriptions", "approve", one, "--as", "ada")
    shown = await line.does("subscriptions", "show", one)
    assert f"zekt subscriptions accept {one}" in shown
    accept = ("subscriptions", "accept", *ends, "--event-type", "withdrawn", "--as", "mia")
    assert "released, withdrawn" in await line.does(*accept)

    assert "until it resumes" in await line.does("subscriptions", "pause", one, "--as", "mia")
    assert "paused" in await line.does("subscriptions", "list", "--repository", CONSUMER)
    assert "again" in await line.does("subscriptions", "resume", *ends, "--as", "mia")
    configure = ("subscriptions", "configure", one, "--conclusion", "success", "--as", "mia")
    await line.does(*configure, "--only-type", "released")
    assert (await line.json("subscriptions", "show", one))["filters"] == {
        "event_types": ["released"],
        "conclusions": ["success"],
        "branches": [],
    }
    assert "is revoked" in await line.does("subscriptions", "revoke", one, "--as", "ada")
    assert (await line.ended("subscriptions", "pause", one)).code == 3


async def test_an_invitation_is_accepted_or_declined(line: Line) -> None:
    await published(line, "--visibility", "private")
    ends = (SERVICE, CONSUMER)
    await line.does("subscriptions", "invite", *ends, "--as", "ada")
    assert "no longer" in await line.does("subscriptions", "withdraw", *ends, "--as", "ada")
    refused = await line.ended("subscriptions", "request", *ends)
    assert (refused.code, "invites" in refused.err) == (3, True)
    invited = await line.does("subscriptions", "invite", *ends, "--as", "ada")
    assert f"zekt subscriptions accept {SERVICE} {CONSUMER}" in invited
    assert "declined" in await line.does("subscriptions", "decline", *ends, "--as", "mia")
    await line.does("subscriptions", "invite", *ends)
    accepted = await line.does("subscriptions", "accept", *ends, "--as", "mia")
    assert "receives zekt-workflow-completed" in accepted
    assert "has ended" in await line.does("subscriptions", "end", *ends, "--as", "mia")


async def test_a_subscription_on_another_channel_is_another_one(line: Line, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "pigeon.py").write_text(PIGEON)
    line.settings["ZEKT_PLUGINS_DIR"] = str(tmp_path / "plugins")
    secret = tmp_path / "loft"
    secret.write_text("north\n")
    await published(line)
    ends = (SERVICE, CONSUMER)
    by_pigeon = (*ends, "--channel", "pigeon")
    refused = await line.ended("subscriptions", "request", *by_pigeon)
    assert (refused.code, "name the loft" in refused.err) == (3, True)
    await line.does("subscriptions", "request", *ends)
    await line.does("subscriptions", "request", *by_pigeon, "--setting-file", f"loft={secret}")
    row = await line.json("subscriptions", "show", *by_pigeon)
    assert (row["channel"], row["state"], "north" in repr(row)) == ("pigeon", "requested", False)
    await line.does("subscriptions", "approve", row["id"])
    await line.does("subscriptions", "revoke", *by_pigeon)
    invited = await line.does("subscriptions", "invite", *by_pigeon)
    assert "--channel pigeon`" in invited
    accept = ("subscriptions", "accept", *by_pigeon)
    assert (await line.ended(*accept)).code == 3
    await line.does(*accept, "--setting-file", f"loft={secret}")
    for verb in ("pause", "resume"):
        await line.does("subscriptions", verb, *by_pigeon)
    await line.does("subscriptions", "configure", row["id"], "--setting", "loft=north")
    await line.does("subscriptions", "revoke", *by_pigeon)
    states = {r["channel"]: r["state"] for r in await line.json("subscriptions", "list")}
    assert states == {"repository_dispatch": "requested", "pigeon": "revoked"}


async def test_who_is_on_the_list_is_approved_at_once(line: Line) -> None:
    await published(line, "--approve-account", "kestrel-bank")
    told = await line.does("subscriptions", "request", SERVICE, CONSUMER)
    assert "is approved" in told


# What one side may do and the other not; a stranger never.
SIDES = (
    ("approve", "mia"),
    ("reject", "mia"),
    ("revoke", "mia"),
    ("withdraw", "mia"),
    ("accept", "ada"),
    ("decline", "ada"),
    ("end", "ada"),
    ("pause", "ada"),
    ("resume", "ada"),
    ("configure", "ada"),
    ("show", "eve"),
    ("check", "ada"),
)


async def test_each_side_of_a_subscription_has_its_own_say(line: Line) -> None:
    await published(line)
    await line.does("subscriptions", "request", SERVICE, CONSUMER)
    (row,) = await line.json("subscriptions", "list")
    for verb, login in SIDES:
        ended = await line.ended("subscriptions", verb, row["id"], "--as", login)
        assert (ended.code in {4, 5}, ended.out) == (True, ""), (verb, ended)
    for words in (("request", SERVICE, CONSUMER), ("invite", SERVICE, CONSUMER)):
        ended = await line.ended("subscriptions", *words, "--as", "eve")
        assert ended.code in {4, 5}, words
    assert (await line.ended("subscriptions", "list", "--as", "mia")).code == 5
    assert await line.json("subscriptions", "list") == [row]
