"""Walking along a chain of audit entries, and the checkpoint that is kept outside."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zekt_bot.domain.audit import Entry, chain_hash
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = "zekt-audit-checkpoint-1"
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
    """Every chain as it stood at one time, by name."""

    at: datetime
    chains: Mapping[str, Chain]

    def dump(self) -> dict[str, Any]:
        """As it is kept."""
        chains = {
            name: {
                "first_seq": each.first_seq,
                "first_previous": each.first_previous,
                "head_seq": each.head_seq,
                "head_hash": each.head_hash,
            }
            for name, each in self.chains.items()
        }
        return {"format": FORMAT, "at": self.at.isoformat(), "chains": chains}


def load(text: str | bytes) -> Checkpoint:
    """A checkpoint from what was kept of it, or raise InvalidInput."""
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError("another format")
        chains = {name: Chain(name, **facts) for name, facts in found["chains"].items()}
        at = datetime.fromisoformat(found["at"])
        if at.tzinfo is None or not all(_sound(each) for each in chains.values()):
            raise ValueError("values that none has")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"This is no checkpoint of the audit ({type(error).__name__}): make one with "
            "`zekt audit checkpoint`."
        ) from None
    return Checkpoint(at, chains)


def _sound(chain: Chain) -> bool:
    numbers = (chain.first_seq, chain.head_seq)
    hashes = (chain.first_previous, chain.head_hash)
    return (
        bool(_CHAIN.fullmatch(chain.chain))
        and all(type(each) is int and 0 <= each < _NUMBER for each in numbers)
        and all(isinstance(each, str) and _HASH.fullmatch(each) for each in hashes)
    )


def since(
    kept: Chain, now: Chain | None, hash_there: str | None, *, within_retention: bool
) -> Iterator[Finding]:
    """What is wrong with a chain that was `kept` in a checkpoint.

    `hash_there` is the hash that the checkpoint's head has in the database, if it is there.
    `within_retention`: nothing that was written after the checkpoint is old enough to be deleted.
    """
    if now is None:
        yield Finding(kept.chain, None, "the whole chain is gone, which the checkpoint has")
        return
    if now.head_seq < kept.head_seq:
        missing = f"{now.head_seq + 1} to {kept.head_seq}"
        yield Finding(kept.chain, now.head_seq, f"the end is cut off: {missing} are missing")
        return
    if now.first_seq < kept.first_seq:
        yield Finding(kept.chain, now.first_seq, "entries stand before the checkpoint's first one")
    if now.first_seq > kept.head_seq + 1 and within_retention:
        young = f"{kept.head_seq + 1} to {now.first_seq - 1}"
        yield Finding(kept.chain, kept.head_seq + 1, f"deleted before their time: {young}")
    there = now.first_previous if kept.head_seq == now.first_seq - 1 else hash_there
    if there is not None and there != kept.head_hash:
        yield Finding(kept.chain, kept.head_seq, "it is not the entry that the checkpoint has")


__all__ = ["Chain", "Checkpoint", "Finding", "Walk", "expected_hash", "load", "since"]
