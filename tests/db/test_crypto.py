"""A sealed value opens where it was put, with a key that is known, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.db.processes import all_at_once
from tests.strategies import machine_words
from zekt_bot.db.crypto import Keyring, key_beside
from zekt_bot.errors import ConfigurationError, DecryptionFailed

if TYPE_CHECKING:
    from pathlib import Path

OLD = "the old key, which is long enough to be one"
NEW = "the new key, which is long enough to be one"
PLACE = ("inbox", "raw", "inb_1")

repetitive = st.tuples(st.binary(max_size=40), st.integers(0, 400)).map(lambda p: p[0] * p[1])
values = st.binary(max_size=2000) | repetitive
places = st.tuples(machine_words, machine_words, machine_words)


@given(values, places)
def test_what_is_sealed_opens_where_it_was_put(value: bytes, place: tuple[str, str, str]) -> None:
    keyring = Keyring([OLD])
    assert keyring.open(place, keyring.seal(place, value)) == value


@pytest.mark.parametrize("size", [0, 1, 255, 256, 3_000_000])
def test_the_size_does_not_matter(size: int) -> None:
    keyring = Keyring([OLD])
    value = b"x" * size
    assert keyring.open(PLACE, keyring.seal(PLACE, value)) == value


@given(values, places, places)
def test_another_place_does_not_open_it(
    value: bytes, place: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assume(place != other)
    keyring = Keyring([OLD])
    with pytest.raises(DecryptionFailed):
        keyring.open(other, keyring.seal(place, value))


@pytest.mark.parametrize(
    "other", [("jobs", "raw", "inb_1"), ("inbox", "reason", "inb_1"), ("inbox", "raw", "inb_2")]
)
def test_table_column_and_row_each_bind_it(other: tuple[str, str, str]) -> None:
    keyring = Keyring([OLD])
    with pytest.raises(DecryptionFailed):
        keyring.open(other, keyring.seal(PLACE, b"secret"))


@given(st.binary(max_size=400), st.data())
def test_any_altered_bit_is_noticed(value: bytes, data: st.DataObject) -> None:
    keyring = Keyring([OLD])
    sealed = bytearray(keyring.seal(PLACE, value))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DecryptionFailed):
        keyring.open(PLACE, bytes(sealed))


def test_a_value_cut_short_anywhere_does_not_open() -> None:
    keyring = Keyring([OLD])
    sealed = keyring.seal(PLACE, b"secret")
    for length in range(len(sealed)):
        with pytest.raises(DecryptionFailed):
            keyring.open(PLACE, sealed[:length])


def test_equal_values_are_not_seen_to_be_equal() -> None:
    keyring = Keyring([OLD])
    assert keyring.seal(PLACE, b"secret") != keyring.seal(PLACE, b"secret")


def test_long_values_are_kept_small() -> None:
    assert len(Keyring([OLD]).seal(PLACE, b'{"a": 1}' * 1000)) < 1000


def test_after_a_rotation_the_old_key_opens_and_the_new_one_seals() -> None:
    before, between, after = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])
    assert between.open(PLACE, before.seal(PLACE, b"secret")) == b"secret"
    assert after.open(PLACE, between.seal(PLACE, b"secret")) == b"secret"
    with pytest.raises(DecryptionFailed):
        after.open(PLACE, before.seal(PLACE, b"secret"))


def test_no_key_shows() -> None:
    assert repr(Keyring([NEW, OLD])) == "<Keyring of 2>"


def test_the_key_beside_the_database_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = key_beside(tmp_path / "zekt.db")
    assert len(key) >= 32
    assert key_beside(tmp_path / "zekt.db") == key
    (file,) = tmp_path.iterdir()
    assert file.name == "zekt.db.key"
    assert file.stat().st_mode & 0o777 == 0o600


def test_processes_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    imports = "from pathlib import Path\nfrom zekt_bot.db.crypto import key_beside"
    keys = all_at_once(
        4, imports, "print(key_beside(Path(sys.argv[1])))", str(tmp_path / "zekt.db")
    )
    assert set(keys) == {key_beside(tmp_path / "zekt.db") + "\n"}
    assert [file.name for file in tmp_path.iterdir()] == ["zekt.db.key"]


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40])
def test_a_damaged_key_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "zekt.db.key").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"zekt\.db\.key"):
        key_beside(tmp_path / "zekt.db")


def test_a_folder_that_takes_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ZEKT_SECRET_KEY"):
        key_beside(tmp_path / "missing" / "zekt.db")
