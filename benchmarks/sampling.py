"""Where a process's CPU time goes: each thread's stack, weighed by the CPU time it has used."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_EVERY = 0.001
_LIBRARIES = ("sqlalchemy", "aiosqlite", "asyncpg", "aiohttp", "structlog", "asyncio", "sqlite3")


@contextlib.contextmanager
def sampled(path: str | None) -> Iterator[None]:
    """Write to `path` the seconds of CPU by (room, library), most first; None: do nothing."""
    if path is None:
        yield
        return
    sys.setswitchinterval(0.0005)
    seconds: dict[str, float] = defaultdict(float)
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(seconds, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        Path(path).write_text(
            json.dumps(sorted(seconds.items(), key=lambda each: -each[1])), encoding="utf-8"
        )


def _watch(seconds: dict[str, float], stop: threading.Event) -> None:
    used: dict[int, float] = {}
    own = threading.get_ident()
    while not stop.is_set():
        time.sleep(_EVERY)
        for ident, frame in sys._current_frames().items():
            if ident == own:
                continue
            try:
                now = time.clock_gettime(time.pthread_getcpuclockid(ident))
            except OSError:  # it has just ended
                continue
            spent, used[ident] = now - used.get(ident, now), now
            if spent > 0:
                seconds[_place(frame)] += spent


def _place(frame: FrameType | None) -> str:
    """The innermost function of Zekt on the stack, the library that it was in, and where there."""
    library = room = leaf = ""
    if frame is not None:
        leaf = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_code.co_name}"
    while frame is not None and not room:
        name = frame.f_code.co_filename
        if "/zekt_bot/" in name and "/site-packages/" not in name:
            path = name.rpartition("/zekt_bot/")[2].removesuffix(".py")
            room = f"{path}.{frame.f_code.co_name}"
        elif "/plugins/" in name and "/site-packages/" not in name:
            room = f"plugins/{name.rpartition('/')[2].removesuffix('.py')}.{frame.f_code.co_name}"
        elif not library:
            library = next((each for each in _LIBRARIES if f"/{each}/" in name), "")
        frame = frame.f_back
    return f"{room}|{library}|{leaf}"


def spent(path: str) -> list[tuple[str, float]]:
    """Shares of the CPU time by library, or by room of Zekt where it was in none, most first."""
    rows: list[tuple[str, float]] = json.loads(Path(path).read_text(encoding="utf-8"))
    whole = sum(seconds for _, seconds in rows) or 1.0
    shares: dict[str, float] = defaultdict(float)
    for place, seconds in rows:
        room, library, _ = place.split("|")
        shares[library or room.partition("/")[0].partition(".")[0] or "Python itself"] += seconds
    return sorted(((n, s / whole) for n, s in shares.items()), key=lambda each: -each[1])
