"""Proving the audit: every chain walked along, and held against checkpoints kept outside."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit_chains
from zekt_bot.db.types import microseconds
from zekt_bot.domain.access import decide
from zekt_bot.domain.audit_chains import Checkpoint, Finding, Walk, load, since

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit_chains import Chain
    from zekt_bot.operations.broker import Broker

MOST_FINDINGS = 100


@dataclass(slots=True)
class _Proof:
    entries: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, findings: Iterable[Finding]) -> None:
        """Count all, and keep the first ones."""
        for finding in findings:
            self.found += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(finding)


async def checkpoint(broker: Broker, principal: Principal) -> dict[str, Any]:
    """Where all chains stand, and when entries were made, to be kept outside of the database.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "audit:read")
    now = broker.now()
    found = await broker.database.query(audit_chains.kept, now)
    chains = {each.chain.chain: each for each in found}
    return Checkpoint(now, broker.settings.audit_days, chains).dump()


async def verify(
    broker: Broker, principal: Principal, checkpoints: Sequence[bytes] = ()
) -> dict[str, Any]:
    """Walk along every chain: `intact`, `entries`, `chains`, how many were `found`, `findings`.

    Without a checkpoint whoever rewrites a chain and its head leaves no trace.

    Raises:
        AccessDenied, StorageUnavailable.
        InvalidInput: one is no checkpoint.
    """
    decide(principal, "audit:read")
    kept = [load(each) for each in checkpoints]
    proof = _Proof()
    found = await broker.database.query(audit_chains.chains)
    for chain in found:
        await _walk(broker, chain, proof)
    strays = await broker.database.query(audit_chains.strays, MOST_FINDINGS)
    stray = "it belongs to no chain, or stands beyond its chain's ends"
    proof.add(Finding(*place, stray) for place in strays)
    for each in kept:
        await _compare(broker, each, proof)
    return {
        "intact": proof.found == 0,
        "entries": proof.entries,
        "chains": [asdict(each) for each in found],
        "found": proof.found,
        "findings": [asdict(each) for each in proof.findings],
    }


async def _walk(broker: Broker, chain: Chain, proof: _Proof) -> None:
    """In pages, so that memory stays the same however long the chain is."""
    walk = Walk.along(chain)
    while rows := await broker.database.query(
        audit_chains.page, chain.chain, walk.seq, chain.head_seq
    ):
        if rows[0]["seq"] != walk.seq + 1:
            await _forget(broker, walk)
        for row in rows:
            if row["seq"] > walk.seq:
                proof.add(walk.step(row, microseconds(row["at"])))
                proof.entries += 1
    await _forget(broker, walk)
    proof.add(walk.end(chain))


async def _forget(broker: Broker, walk: Walk) -> None:
    """Skip what was deleted by age while we walked."""
    now = await broker.database.query(audit_chains.one, walk.chain)
    if now is not None and now.first_seq > walk.seq + 1:
        walk.seq, walk.hash = now.first_seq - 1, now.first_previous


async def _compare(broker: Broker, kept: Checkpoint, proof: _Proof) -> None:
    young_from = kept.young_from(broker.now(), broker.settings.audit_days)
    for name, each in kept.chains.items():
        there = await broker.database.query(audit_chains.hash_of, name, each.chain.head_seq)
        now = await broker.database.query(audit_chains.one, name)
        proof.add(since(each, now, there, young_from))
