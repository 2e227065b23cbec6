"""The system's random bytes, fetched in blocks: asking it each time costs more than an id."""

from __future__ import annotations

import os
from threading import Lock

_BLOCK = 4096


class _Source:
    """What is left of the last block."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._left = b""

    def take(self, size: int) -> bytes:
        with self._lock:
            if len(self._left) < size:
                self._left = os.urandom(_BLOCK)
            taken, self._left = self._left[:size], self._left[size:]
        return taken

    def forget(self) -> None:
        """A forked process must not get its parent's."""
        self._lock, self._left = Lock(), b""


_SOURCE = _Source()
getattr(os, "register_at_fork", dict)(after_in_child=_SOURCE.forget)  # Windows does not fork


def random_bytes(size: int) -> bytes:
    """So many bytes (at most 4096) that nobody can foretell, as `secrets.token_bytes`."""
    return _SOURCE.take(size)
