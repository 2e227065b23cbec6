"""The system's random bytes, fetched in blocks: asking it each time costs more than an id."""

from __future__ import annotations

import os
import threading

_BLOCK = 4096


class _Source(threading.local):
    """What is left of a thread's last block, and its process: a fork must not use it too."""

    def __init__(self) -> None:
        self._left = b""
        self._process = 0

    def take(self, size: int) -> bytes:
        if len(self._left) < size or self._process != os.getpid():
            self._left, self._process = os.urandom(_BLOCK), os.getpid()
        taken, self._left = self._left[:size], self._left[size:]
        return taken


_SOURCE = _Source()


def random_bytes(size: int) -> bytes:
    """So many bytes (at most 4096) that nobody can foretell, as `secrets.token_bytes`."""
    return _SOURCE.take(size)
