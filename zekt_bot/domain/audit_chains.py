"""Walking along a chain of audit entries, and the checkpoint that is kept outside."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from zekt_bot.domain.audit import Entry, chain_hash
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = "zekt-audit-checkpoint-1"
PARTS = 50  # of a chain: a checkpoint keeps when the entries between them were made
CLOCKS = timedelta(hours=1)  # so far may the clock of who deleted be before that of who verifies
_MOST_DAYS = 3650  # that can be set
_NUMBER = 2**63
_CHAIN = re.compile(r"[a-z0-9-]{1,40}")
_HASH = re.compile(r"[0-9a-f]{64}")
_CHAINED = ("verb", "actor", "correlation_id", "delivery_id", "account_id", "repository_id")


@dataclass(frozen=True, slots=True)
class Chain:
    """The first entry that is kept, the hash before it, and the last entry with its hash.

    A chain of which nothing is left begins after its head.
    """

    chain: str
    first_seq: int
    first_previous: str
    head_seq: int
    head_hash: str

    def marks(self) -> list[int]:
        """Of which entries a checkpoint keeps the time: the first, the head, and some between."""
        step = max(1, -(-(self.head_seq - self.first_seq) // PARTS))
        return [*range(self.first_seq, self.head_seq, step), self.head_seq]


@dataclass(frozen=True, slots=True)
class Kept:
    """A chain as a checkpoint keeps it.

    `times`: when an entry was made, by its number; what came next, not before the checkpoint.
    """

    chain: Chain
    times: Mapping[int, datetime]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong at one place; `seq` is None where the chain as a whole is meant."""

    chain: str
    seq: int | None
    what: str


@dataclass(slots=True)
class Walk:
    """Along one chain, entry by entry; `seq` and `hash` are those of the last one."""

    chain: str
    seq: int
    hash: str

    @classmethod
    def along(cls, chain: Chain) -> Walk:
        """Stand before the first entry that is kept."""
        return cls(chain.chain, chain.first_seq - 1, chain.first_previous)

    def step(self, row: Mapping[Any, Any], at_microseconds: int) -> Iterator[Finding]:
        """Go on to this entry; what is wrong between there and here."""
        if row["seq"] != self.seq + 1:
            missing = f"{self.seq + 1} to {row['seq'] - 1}"
            yield Finding(self.chain, self.seq + 1, f"entries are missing: {missing}")
        elif expected_hash(row, self.hash, at_microseconds) != row["hash"]:
            yield Finding(self.chain, row["seq"], "it is not what was written, or not its place")
        self.seq, self.hash = row["seq"], row["hash"]

    def end(self, chain: Chain) -> Iterator[Finding]:
        """What is wrong with where the chain ends."""
        if self.seq < chain.head_seq:
            missing = f"{self.seq + 1} to {chain.head_seq}"
            yield Finding(self.chain, self.seq + 1, f"the end is cut off: {missing} are missing")
        elif (self.seq, self.hash) != (chain.head_seq, chain.head_hash):
            yield Finding(self.chain, self.seq, "it is not the head that was written")


def expected_hash(row: Mapping[Any, Any], previous: str, at_microseconds: int) -> str | None:
    """The hash that this row must have; None: nothing that is ever written looks like it."""
    try:
        details = json.loads(row["details"])
        if json.dumps(details, separators=(",", ":")) != row["details"]:
            return None
        entry = Entry(**{name: row[name] for name in _CHAINED}, details=details)
        return chain_hash(previous, row["chain"], row["seq"], at_microseconds, entry)
    except (ValueError, AttributeError, TypeError, InvalidInput):
        return None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Every chain as it stood at one time, by name; `days`: how long entries were kept then."""

    at: datetime
    days: int
    chains: Mapping[str, Kept]

    def young_from(self, now: datetime, days: int) -> datetime:
        """What was made from then on is too young to be deleted by age (0 days: for ever).

        What was deleted while fewer days were set is not blamed when more are.
        """
        limits = [each for each in (self.days, days) if each]
        if not limits:
            return datetime.min.replace(tzinfo=UTC)
        return now + CLOCKS - timedelta(days=min(limits))

    def dump(self) -> dict[str, Any]:
        """As it is kept."""
        chains = {
            name: {
                "first_seq": each.chain.first_seq,
                "first_previous": each.chain.first_previous,
                "head_seq": each.chain.head_seq,
                "head_hash": each.chain.head_hash,
                "times": {str(seq): at.isoformat() for seq, at in each.times.items()},
            }
            for name, each in self.chains.items()
        }
        return {"format": FORMAT, "at": self.at.isoformat(), "days": self.days, "chains": chains}


def load(text: str | bytes) -> Checkpoint:
    """A checkpoint from what was kept of it, or raise InvalidInput."""
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError("another format")
        at, days = datetime.fromisoformat(found["at"]), found["days"]
        chains = {name: _kept(name, **facts) for name, facts in found["chains"].items()}
        kept_so_long = type(days) is int and 0 <= days <= _MOST_DAYS
        if at.tzinfo is None or not kept_so_long or not all(map(_sound, chains.values())):
            raise ValueError("values that none has")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"This is no checkpoint of the audit as Zekt makes it ({type(error).__name__}): "
            "make one with `zekt audit checkpoint`."
        ) from None
    return Checkpoint(at, days, chains)


def _kept(name: str, *, times: Mapping[str, str], **facts: Any) -> Kept:
    made = {int(seq): datetime.fromisoformat(at) for seq, at in times.items()}
    return Kept(Chain(name, **facts), made)


def _sound(kept: Kept) -> bool:
    chain = kept.chain
    numbers = (chain.first_seq, chain.head_seq)
    hashes = (chain.first_previous, chain.head_hash)
    return (
        bool(_CHAIN.fullmatch(chain.chain))
        and all(type(each) is int and 0 <= each < _NUMBER for each in numbers)
        and all(isinstance(each, str) and _HASH.fullmatch(each) for each in hashes)
        and all(each.tzinfo is not None for each in kept.times.values())
    )


def since(
    kept: Kept, now: Chain | None, hash_there: str | None, young_from: datetime
) -> Iterator[Finding]:
    """What is wrong with a chain that was `kept` in a checkpoint.

    `hash_there` is the hash that the checkpoint's head has in the database, if it is there.
    """
    was = kept.chain
    if now is None:
        yield Finding(was.chain, None, "the whole chain is gone, which the checkpoint has")
        return
    if now.head_seq < was.head_seq:
        missing = f"{now.head_seq + 1} to {was.head_seq}"
        yield Finding(was.chain, now.head_seq, f"the end is cut off: {missing} are missing")
        return
    if now.first_seq < was.first_seq:
        yield Finding(was.chain, now.first_seq, "entries stand before the checkpoint's first one")
    gone = [seq for seq, at in kept.times.items() if seq < now.first_seq and at >= young_from]
    if gone:
        young = f"{min(gone)} to {now.first_seq - 1}"
        yield Finding(was.chain, min(gone), f"deleted before their time: {young}")
    there = now.first_previous if was.head_seq == now.first_seq - 1 else hash_there
    if there is not None and there != was.head_hash:
        yield Finding(was.chain, was.head_seq, "it is not the entry that the checkpoint has")


__all__ = ["Chain", "Checkpoint", "Finding", "Kept", "Walk", "expected_hash", "load", "since"]
