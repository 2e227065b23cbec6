"""What every list and every detail has in common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import pytest

from tests.cli.command import every_command, zekt
from zekt_bot import cli
from zekt_bot.cli.options import Moment
from zekt_bot.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def commands(verb: str) -> Iterator[tuple[str, click.Command]]:
    """Every noun's command of this name; plugins are this process's own, without a database."""
    for context in every_command():
        noun = context.parent.info_name if context.parent else None
        if context.info_name == verb and noun not in {None, "plugins"}:
            yield str(noun), context.command


def options_of(command: click.Command) -> list[str]:
    """Its options in the order of the help."""
    return [param.opts[0] for param in command.params if isinstance(param, click.Option)]


def test_every_list_ends_with_the_same_options() -> None:
    for noun, command in commands("list"):
        assert options_of(command)[-4:] == ["--limit", "--before", "--json", "--as"], noun


def test_every_detail_ends_with_the_same_options() -> None:
    for noun, command in commands("show"):
        assert options_of(command)[-2:] == ["--json", "--as"], noun


def test_a_time_is_read_as_utc_or_as_an_age() -> None:
    def read(text: str) -> datetime:
        return Moment().convert(text, None, None)

    assert read("2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)
    assert read("2026-03-01T14:02+02:00") == datetime(2026, 3, 1, 12, 2, tzinfo=UTC)
    assert read("2026-03-01T14:02Z").tzinfo is UTC
    for text, age in (("90m", timedelta(minutes=90)), ("24h", timedelta(1)), ("7d", timedelta(7))):
        assert abs(SystemClock().now() - read(text) - age) < timedelta(seconds=5)
    with pytest.raises(click.BadParameter, match="24h"):
        read("yesterday")
    for text in ("0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"):  # no such time in UTC
        with pytest.raises(click.BadParameter, match="24h"):
            read(text)


@pytest.mark.parametrize(
    ("noun", "option"),
    [
        ("audit", "--account"),
        ("audit", "--verb"),
        ("deliveries", "--correlation"),
        ("events", "--workflow"),
        ("messages", "--event-type"),
    ],
)
async def test_a_variable_that_is_not_set_does_not_list_everything(
    noun: str, option: str, migrated_sqlite: str
) -> None:
    ended = await zekt(noun, "list", option, "", DATABASE_URL=migrated_sqlite)
    assert (ended.code, ended.out) == (2, "")
    assert f"'{option}': it is empty" in ended.err


async def test_a_file_that_is_no_text_is_named(migrated_sqlite: str, tmp_path: Path) -> None:
    file = tmp_path / "latin-1.md"
    file.write_bytes("für alle".encode("latin-1"))
    for words in (
        ("services", "edit", "aurora-labs/release", "--description-file", str(file)),
        ("services", "edit", "aurora-labs/release", "--schema-file", str(file)),
        ("shield", "keys", "add", "aurora-labs", str(file)),
    ):
        ended = await zekt(*words, DATABASE_URL=migrated_sqlite)
        assert (ended.code, ended.out) == (2, ""), words
        assert f"{str(file)!r} is no text in UTF-8." in ended.err


async def test_an_empty_list_says_whether_a_filter_may_be_the_reason(migrated_sqlite: str) -> None:
    for words, said in (
        (("audit", "list"), "No audit entries yet.\n"),
        (("audit", "list", "--from", "24h"), "No audit entries fit.\n"),
        (("messages", "list", "--event-type", "released"), "No messages fit.\n"),
    ):
        ended = await zekt(*words, DATABASE_URL=migrated_sqlite)
        assert (ended.code, ended.out, ended.err) == (0, "", said)


async def test_a_database_that_was_not_there_is_spoken_of_once(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    first, second = [await zekt("events", "list", DATABASE_URL=sqlite_url) for _ in range(2)]
    assert first.err == f"There was no {path}: it is made, and empty.\nNo events yet.\n"
    assert second.err == "No events yet.\n"


def test_every_help_fits_80_columns() -> None:
    told: list[str] = []
    for context in every_command():
        context.terminal_width = context.max_content_width = 80
        told += context.get_help().splitlines()
    assert [line for line in told if len(line) > 80] == []


def test_the_list_of_commands_is_whole_on_80_columns() -> None:
    context = click.Context(cli.zekt, terminal_width=80, max_content_width=80)
    told = cli.zekt.get_help(context).partition("Commands:")[2]
    assert "..." not in told
