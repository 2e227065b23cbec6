"""Settings from a `.env` file: only on request, beneath the real environment, mistakes named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command import zekt
from zekt_bot.cli import environment
from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

DEVELOPMENT = {"ZEKT_ENV": "development"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a `.env` in it."""
    (tmp_path / ".env").write_text("PORT=9000\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def given(folder: Path, text: str) -> Path:
    file = folder / "settings"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("environ", [{}, {"ZEKT_ENV": "production"}, {"ZEKT_ENV": ""}])
def test_a_file_that_nobody_asked_for_is_left_alone(folder: Path, environ: dict[str, str]) -> None:
    assert (folder / ".env").is_file()
    assert environment.read(None, environ).variables == environ


def test_in_development_the_file_of_the_working_directory_is_read(folder: Path) -> None:
    assert environment.read(None, DEVELOPMENT).variables == {**DEVELOPMENT, "PORT": "9000"}
    (folder / ".env").unlink()
    assert environment.read(None, DEVELOPMENT).variables == DEVELOPMENT


def test_the_named_file_is_read_instead(folder: Path) -> None:
    found = environment.read(given(folder, "PORT=9001\n"), DEVELOPMENT)
    assert found.variables == {**DEVELOPMENT, "PORT": "9001"}


def test_quotes_comments_and_several_lines_are_understood_and_a_dollar_is_a_dollar(
    tmp_path: Path,
) -> None:
    text = """# a comment
export A='with # in it'  # and one behind
B = "two
lines"
C=pa$$word${A}
D=
"""
    assert environment.read(given(tmp_path, text), {}).variables == {
        "A": "with # in it",
        "B": "two\nlines",
        "C": "pa$$word${A}",
        "D": "",
    }


@pytest.mark.parametrize(
    ("line", "environ"),
    [
        ("PORT=1", {"PORT": "2"}),
        ("ZEKT_SECRET_KEY=x", {"ZEKT_SECRET_KEY_FILE": "/run/key"}),
        ("ZEKT_SECRET_KEY_FILE=/run/key", {"ZEKT_SECRET_KEY": "x"}),
    ],
)
def test_the_real_environment_wins(tmp_path: Path, line: str, environ: dict[str, str]) -> None:
    assert environment.read(given(tmp_path, line), environ).variables == environ


def test_a_variable_that_is_set_to_nothing_does_not_win(tmp_path: Path) -> None:
    assert environment.read(given(tmp_path, "PORT=1"), {"PORT": ""}).variables == {"PORT": "1"}


@pytest.mark.parametrize(
    ("text", "line"), [("A=1\nB\n", 2), ("A='no end\n", 1), ("A=1\n\n=2\n", 2), ("a b c\n", 1)]
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, text: str, line: int) -> None:
    file = given(tmp_path, text)
    with pytest.raises(ConfigurationError, match=f"{file}, line {line}: write NAME=VALUE"):
        environment.read(file, {})


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"A=\xff")
    for file, reason in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "it is not UTF-8 text"),
    ):
        with pytest.raises(ConfigurationError, match=f"cannot read {file}: {reason}"):
            environment.read(file, {})


def test_names_of_ours_that_no_setting_has_are_found(tmp_path: Path) -> None:
    file = given(tmp_path, "ZEKT_SECRET_KEYS=x\nZEKT_ZZZ=1\nOTHER=1\nZEKT_HOST_FILE=/h\nZEKT_ENV=a")
    assert environment.read(file, {}).unknown == {
        "ZEKT_SECRET_KEYS": "ZEKT_SECRET_KEY",
        "ZEKT_ZZZ": None,
    }


async def test_a_command_takes_its_settings_from_the_file(tmp_path: Path) -> None:
    database = tmp_path / "from-the-file.db"
    file = given(tmp_path, f"DATABASE_URL=sqlite:///{database}\nZEKT_SECRETKEY=x\n")
    ended = await zekt("--env-file", str(file), "events", "list")

    assert ended.code == 0
    assert database.is_file()
    assert "settings.unknown" in ended.err
    assert "ZEKT_SECRET_KEY" in ended.err


async def test_a_command_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    ended = await zekt("--env-file", str(tmp_path / "none"), "events", "list")

    assert ended.code == 6
    assert "--env-file: cannot read" in ended.err
