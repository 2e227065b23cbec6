"""Random bytes: never the same twice, in any thread or process."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from zekt_bot.domain.randomness import forget, random_bytes

if TYPE_CHECKING:
    import pytest


def test_no_bytes_come_twice_whatever_their_number() -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: random_bytes(10), range(4_000)))
    assert {len(each) for each in taken} == {10}
    assert len(set(taken)) == 4_000
    assert len(random_bytes(4096)) == 4096


def test_what_was_forgotten_is_fetched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    random_bytes(1)
    monkeypatch.setattr(os, "urandom", lambda size: b"new!" * (size // 4))
    forget()
    assert random_bytes(4) == b"new!"
    forget()


def test_a_forked_process_gets_others() -> None:
    random_bytes(1)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os.write(tell, random_bytes(16))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(told, 16) != random_bytes(16)
    os.close(told)
    os.close(tell)
