"""What all benchmarks share: processes on cores of their own, databases, tables, the record.

Run one as `python -m benchmarks.NAME`. `--quick` (or QUICK=1) makes it small, `--trial` so small
that it only shows that it runs; `--database` chooses one of the two; `--record` writes the result
into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import re
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.sampling import spent
from benchmarks.served import MODES
from tests import databases
from zekt_bot import logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "docs" / "benchmarks.md"
_TICK = os.sysconf("SC_CLK_TCK")
_CORES = sorted(os.sched_getaffinity(0))
SERVED, LOAD = {_CORES[0]}, set(_CORES[1:]) or {_CORES[0]}
_DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
Scale = Literal["full", "quick", "trial"]


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    scale: Scale
    record: bool
    runs: int
    databases: tuple[str, ...]
    old: int | None = None  # deliveries that scale measures beside, instead of its own number

    def size(self, full: int, quick: int, trial: int) -> int:
        """How many, by the scale."""
        return {"full": full, "quick": quick, "trial": trial}[self.scale]

    @property
    def here(self) -> bool:
        """Whether what is measured runs in this process: to start one takes longer than a trial."""
        return self.scale == "trial"

    @property
    def profiled(self) -> tuple[str, ...]:
        """The databases for which to tell where the time goes: none for a trial."""
        return () if self.scale == "trial" else self.databases


def options(about: str) -> Options:
    """Read the command line, and keep this process off the core of what is measured."""
    parser = argparse.ArgumentParser(description=about)
    scale = parser.add_mutually_exclusive_group()
    for name in ("quick", "trial"):
        scale.add_argument(f"--{name}", dest="scale", action="store_const", const=name)
    parser.set_defaults(scale="quick" if os.environ.get("QUICK") else "full")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--database", choices=("sqlite", "postgresql"))
    parser.add_argument("--old", type=int, metavar="COUNT", help="of deliveries, for scale")
    given = parser.parse_args()
    os.sched_setaffinity(0, LOAD)
    logs.configure("WARNING", "console")
    chosen = (given.database,) if given.database else ("sqlite", "postgresql")
    return Options(given.scale, given.record, max(1, given.runs), chosen, given.old)


@dataclass
class Served:
    """A process that is measured. `port` is what it listens on, if it does."""

    pid: int
    port: int
    process: asyncio.subprocess.Process | None = None

    def cpu(self) -> float:
        """Seconds of CPU that it has used so far, in all its threads."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory(self) -> float:
        """MB that it holds in memory."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found.group(1)) / 1024 if found else 0.0

    async def until(self, word: str) -> str:
        """The next line of its output that begins with `word`."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(600):
            while line := (await self.process.stdout.readline()).decode():
                if line.startswith(word):
                    return line
        raise RuntimeError(f"it ended before it said {word!r}; ZEKT_BENCH_LOG=FILE keeps its log")


@asynccontextmanager
async def served(
    *mode: str,
    environ: dict[str, str] | None = None,
    anywhere: bool = False,
    here: bool = False,
) -> AsyncIterator[Served]:
    """`benchmarks.served MODE` on the core of what is measured (or on any), once it is ready.

    `here`: in this process.
    """
    if here:
        async with MODES[mode[0]](environ or {}) as port:
            yield Served(os.getpid(), port)
        return
    cores = set(_CORES) if anywhere else SERVED
    with Path(os.environ.get("ZEKT_BENCH_LOG", os.devnull)).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.served",
            *mode,
            cwd=ROOT,
            env=os.environ | (environ or {}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    running = Served(process.pid, 0, process)
    try:
        running.port = int((await running.until("ready")).split()[1])
        yield running
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(ProcessLookupError):
            await process.wait()


@contextlib.contextmanager
def fresh(kind: str, server: str | None) -> Iterator[str]:
    """The URL of an empty database, on this machine's disk."""
    if kind == "postgresql":
        assert server is not None
        with databases.fresh_database(server) as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="zekt-bench-") as folder:
        yield f"sqlite:///{folder}/zekt.db"


@contextlib.contextmanager
def postgres(asked: Options) -> Iterator[str | None]:
    """A PostgreSQL server that syncs each commit to the disk, if one is asked for.

    For a trial any will do.
    """
    if "postgresql" not in asked.databases:
        yield None
        return
    if asked.scale == "trial":
        with databases.server() as url:
            yield url
        return
    with databases.own_server(**_DURABLE, shared_buffers="512MB", max_wal_size="4GB") as url:
        yield url


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def sync_milliseconds(times: int = 200) -> tuple[float, float]:
    """How long this disk takes to sync 4 KB: median and 99th percentile."""
    taken = []
    with tempfile.NamedTemporaryFile(prefix="zekt-bench-") as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return median(taken), percentile(taken, 0.99)


def machine() -> str:
    """Where and when it was measured, in one sentence each."""
    cpu = "an unknown CPU"
    with contextlib.suppress(OSError):
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        cpu = next(x.split(":")[1].strip() for x in info.splitlines() if x.startswith("model name"))
    kernel = platform.release().partition("-")[0]
    middle, worst = sync_milliseconds()
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("aiohttp", "sqlalchemy", "asyncpg")
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {len(_CORES)} cores of {cpu}, "
        f"Linux {kernel}; Python {platform.python_version()}, {libraries}, SQLite "
        f"{sqlite3.sqlite_version}; load average {os.getloadavg()[0]:.1f}; fdatasync "
        f"{middle:.1f} ms in the middle, {worst:.1f} ms at the 99th percentile."
    )


@dataclass
class Table:
    """Rows of texts under a heading, as Markdown."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """One more row."""
        self.rows.append(tuple(str(cell) for cell in cells))

    def __str__(self) -> str:
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@contextlib.contextmanager
def profiled() -> Iterator[dict[str, str]]:
    """An environment that lets a process tell where its time went, and the place where it does."""
    with tempfile.TemporaryDirectory(prefix="zekt-bench-") as folder:
        yield {"ZEKT_BENCH_PROFILE": f"{folder}/profile.json"}


def where(environ: dict[str, str], name: str) -> str:
    """What a profiled process told, as a table of shares of at least one per cent."""
    table = Table(("CPU time of " + name, "share"))
    for place, share in spent(environ["ZEKT_BENCH_PROFILE"]):
        if share >= 0.01:
            table.add(place, f"{share:.0%}")
    return f"Where the time goes (measured apart, its sampling costs some of it):\n\n{table}"


def report(asked: Options, name: str, *parts: object) -> None:
    """Print the parts; with `--record` they become the section `name` of docs/benchmarks.md."""
    small = {"full": "", "quick": " In small (`make bench-quick`).", "trial": " A trial."}
    told = f"Measured {machine()}{small[asked.scale]} Runs: {asked.runs}."
    text = "\n\n".join(str(part) for part in (told, *parts))
    print(f"\n## {name}\n\n{text}\n")
    if not asked.record:
        return
    page = RECORD.read_text(encoding="utf-8")
    marks = f"<!-- {name}: written by benchmarks/{name}.py -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(marks[0])
    after = rest.partition(marks[1])[2]
    if not rest:
        raise SystemExit(f"docs/benchmarks.md has no {marks[0]}")
    RECORD.write_text(f"{before}{marks[0]}\n\n{text}\n\n{marks[1]}{after}", encoding="utf-8")
