"""The system's random bytes, fetched in blocks: asking it each time costs more than an id."""

from __future__ import annotations

import os
import threading

_BLOCK = 4096


class _Source(threading.local):
    """A thread's last block, and how much of it was taken."""

    def __init__(self) -> None:
        self.block = b""
        self.taken = 0


_SOURCE = _Source()


def forget() -> None:
    """Fetch the next bytes anew."""
    _SOURCE.block = b""


os.register_at_fork(after_in_child=forget)  # or both processes would go on with one block


def random_bytes(size: int) -> bytes:
    """So many bytes (at most 4096) that nobody can foretell, as `secrets.token_bytes`."""
    source = _SOURCE
    start, end = source.taken, source.taken + size
    if end > len(source.block):
        source.block, start, end = os.urandom(_BLOCK), 0, size
    source.taken = end
    return source.block[start:end]
