"""`zekt shield`: keys, and opening what was encrypted for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import shielding
from tests.cli.command import zekt
from tests.cli.line import CONSUMER, Line, line

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["line"]
KEY = shielding.private_key()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A key pair and an envelope for it."""
    contents = {
        "private": shielding.private_pem(KEY),
        "public": shielding.public_pem(KEY).encode(),
        "envelope": shielding.of_version_2(b'{"n": 1.10}', {"sub_1": KEY}),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in contents}


async def test_keys_are_added_shown_and_removed(line: Line, files: dict[str, str]) -> None:
    added = await line.does("shield", "keys", "add", CONSUMER, files["public"], "--as", "mia")
    (row,) = await line.json("shield", "keys", "list", "--of", CONSUMER, "--as", "mia")
    assert row["id"] in added
    assert row["fingerprint"] in added
    assert row == await line.json("shield", "keys", "show", row["id"])
    told = await line.does("shield", "keys", "show", row["id"])
    assert row["fingerprint"] in told
    assert "-----BEGIN PUBLIC KEY-----" in told
    assert CONSUMER in await line.does("shield", "keys", "list")
    assert (await line.ended("shield", "keys", "remove", row["id"], "--as", "eve")).code == 4
    assert CONSUMER in await line.does("shield", "keys", "remove", row["id"], "--as", "mia")
    assert "No keys" in (await line.ended("shield", "keys", "list")).err


async def test_a_private_key_is_refused_and_not_repeated(line: Line, files: dict[str, str]) -> None:
    ended = await line.ended("shield", "keys", "add", CONSUMER, files["private"])
    assert ended.code == 3
    assert "openssl pkey" in ended.err
    assert "BEGIN" not in ended.err


async def test_an_envelope_is_opened_without_a_server(files: dict[str, str]) -> None:
    ended = await zekt("shield", "decrypt", files["envelope"], "--key", files["private"])
    assert (ended.code, ended.out, ended.err) == (0, '{"n": 1.10}', "")
    ended = await zekt("shield", "decrypt", files["public"], "--key", files["private"])
    assert (ended.code, ended.out) == (3, "")
    assert "no Shield envelope" in ended.err
