"""Values that are stored sealed: `v1 ‖ key id ‖ nonce ‖ AES-256-GCM`.

The associated data is table, column and row id, so that a sealed value opens only where it was
put. Larger values are compressed (LZ4) before they are sealed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from typing import TYPE_CHECKING

import lz4.block
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zekt_bot.domain.randomness import random_bytes
from zekt_bot.errors import ConfigurationError, DecryptionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_VERSION = b"\x01"
_KEY_ID = slice(1, 5)
_NONCE = slice(5, 17)
_SEALED = slice(17, None)
_COMPRESS_FROM = 4096  # below, it costs more than the bytes that it saves


class Keyring:
    """The keys of `ZEKT_SECRET_KEY`: the first seals, every one opens."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys` are texts of at least 32 characters; each gives a 256-bit key by SHA-256."""
        derived = [hashlib.sha256(b"zekt at rest\0" + key.encode()).digest() for key in keys]
        self._ciphers = {hashlib.sha256(key).digest()[:4]: AESGCM(key) for key in derived}
        self._current = next(iter(self._ciphers))

    def __repr__(self) -> str:
        """Names no key."""
        return f"<Keyring of {len(self._ciphers)}>"

    @property
    def current(self) -> bytes:
        """The id of the key that seals, as it stands in what it sealed."""
        return self._current

    def seal(self, place: tuple[str, str, str], value: bytes) -> bytes:
        """Encrypt `value` for `place` (table, column, row id)."""
        smaller = lz4.block.compress(value) if len(value) >= _COMPRESS_FROM else value
        packed = b"\x01" + smaller if len(smaller) < len(value) else b"\0" + value
        nonce = random_bytes(12)
        sealed = self._ciphers[self._current].encrypt(nonce, packed, "\0".join(place).encode())
        return _VERSION + self._current + nonce + sealed

    def open(self, place: tuple[str, str, str], sealed: bytes) -> bytes:
        """Decrypt what `seal` made for `place`.

        Raises:
            DecryptionFailed: an unknown key, another place, or altered bytes.
        """
        cipher = self._ciphers.get(sealed[_KEY_ID])
        if sealed[:1] != _VERSION or cipher is None:
            raise DecryptionFailed
        try:
            packed = cipher.decrypt(sealed[_NONCE], sealed[_SEALED], "\0".join(place).encode())
        except (InvalidTag, ValueError):  # ValueError: cut short within the nonce
            raise DecryptionFailed from None
        value = packed[1:]
        return bytes(lz4.block.decompress(value)) if packed[:1] == b"\x01" else value


def key_file(database: Path) -> Path:
    """Where the key of an SQLite file is, unless a setting has it."""
    return database.with_name(database.name + ".key")


def key_beside(database: Path) -> str:
    """The key kept beside an SQLite file, made (mode 0600) when there is none yet.

    Raises:
        ConfigurationError: the file cannot be read or written.
    """
    path = key_file(database)
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The key file {path} cannot be used ({type(error).__name__}). Set ZEKT_SECRET_KEY, "
            "or make the folder writable."
        ) from None
    if len(key) < 32:
        raise ConfigurationError(f"The key file {path} is damaged: restore it from the backup.")
    return key


def _make_key(path: Path) -> None:
    """Appear whole or not at all: two processes may start at once."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # without the key, no row that was acknowledged would open
    finally:
        os.close(folder)
