"""Whatever is done to the audit behind Zekt is found."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Integer, String, delete, insert, select, update

from tests.db.rows import wipe
from tests.operations.auditing import (
    CHAIN,
    LENGTH,
    do,
    fill,
    findings,
    forged_beginning,
    keep,
    row_at,
)
from tests.operations.people import people
from tests.stage import ME
from tests.strategies import at_length
from zekt_bot.db import audit_chains as chain_rows
from zekt_bot.db.tables import audit, audit_chains
from zekt_bot.domain.audit import GENESIS
from zekt_bot.errors import AccessDenied, InvalidInput
from zekt_bot.operations.audit_proof import checkpoint, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from tests.stage import Stage

COLUMNS = [column for column in audit.c if column.name not in {"chain", "seq"}]


def other(column: Any, value: Any) -> Any:
    """Another value that the column takes."""
    if column.name == "at":
        return value + timedelta(microseconds=1)
    if column.name == "details":
        return '{"status":1}'
    if isinstance(column.type, String):
        return "x" if value is None else f"{str(value)[:-1]}{'b' if str(value)[-1] == 'a' else 'a'}"
    assert isinstance(column.type, Integer)
    return 1 if value is None else value + 1


def changed(column: Any, seq: int) -> Callable[[Connection], object]:
    def work(connection: Connection) -> None:
        value = connection.execute(select(column).where(row_at(seq))).scalar_one()
        values = {column.name: other(column, value)}
        assert connection.execute(update(audit).where(row_at(seq)).values(values)).rowcount == 1

    return work


def deleted(seq: int) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(delete(audit).where(row_at(seq)))


def inserted(seq: int, chain: str) -> Callable[[Connection], object]:
    def work(connection: Connection) -> None:
        row = dict(connection.execute(select(audit).where(row_at(1))).mappings().one())
        connection.execute(insert(audit).values({**row, "chain": chain, "seq": seq}))

    return work


def moved(seq: int, to: int, chain: str) -> Callable[[Connection], object]:
    def work(connection: Connection) -> None:
        connection.execute(update(audit).where(row_at(seq)).values(chain=chain, seq=to))

    return work


def swapped(one: int, two: int) -> Callable[[Connection], object]:
    def work(connection: Connection) -> None:
        for seq, to in ((one, 10_000), (two, one), (10_000, two)):
            connection.execute(update(audit).where(row_at(seq)).values(seq=to))

    return work


def cut(after: int) -> Callable[[Connection], object]:
    own = audit.c.chain == CHAIN
    return lambda connection: connection.execute(delete(audit).where(own, audit.c.seq > after))


def head(column: str) -> Callable[[Connection], object]:
    def work(connection: Connection) -> None:
        value = connection.execute(select(audit_chains.c[column])).scalar_one()
        value = value + 1 if isinstance(value, int) else "1" * 64
        connection.execute(update(audit_chains).values({column: value}))

    return work


seqs = st.integers(1, LENGTH)
chains = st.sampled_from([CHAIN, "chain-0001"])
outside = st.one_of(st.integers(LENGTH + 1, 100), st.integers(-5, 0))
mutations = st.one_of(
    st.builds(changed, st.sampled_from(COLUMNS), seqs),
    st.builds(deleted, seqs),
    st.builds(inserted, outside, chains),
    st.builds(moved, seqs, outside, chains),
    st.tuples(seqs, seqs).filter(lambda pair: pair[0] != pair[1]).map(lambda p: swapped(*p)),
    st.builds(cut, st.integers(0, LENGTH - 1)),
    st.builds(head, st.sampled_from([c.name for c in audit_chains.c if c.name != "chain"])),
    st.just(lambda connection: connection.execute(delete(audit_chains))),
)


@settings(
    max_examples=at_length(25),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutation=mutations)
async def test_any_single_mutation_is_found_without_a_checkpoint(
    stage: Stage, mutation: Callable[[Connection], object]
) -> None:
    await wipe(stage.broker.database)
    await fill(stage)
    assert await findings(stage) == []
    await stage.broker.database.write(do, mutation)
    assert await findings(stage)


async def forged_end(stage: Stage, keeping: int) -> None:
    """Cut the end off, and let the head say that nothing more was there."""

    def work(connection: Connection) -> None:
        cut(keeping)(connection)
        last = connection.execute(select(audit.c.hash).where(row_at(keeping))).scalar_one_or_none()
        values = {"head_seq": keeping, "head_hash": last or GENESIS}
        connection.execute(update(audit_chains).values(values))

    await stage.broker.database.write(do, work)


async def test_a_checkpoint_finds_an_end_that_is_cut_with_its_head(stage: Stage) -> None:
    await fill(stage)
    kept = await keep(stage)
    await fill(stage, 2)
    assert await findings(stage, kept) == []
    await forged_end(stage, LENGTH)
    assert await findings(stage, kept) == []  # what came after it, no checkpoint saw
    await forged_end(stage, LENGTH - 1)
    assert await findings(stage) == []
    (found,) = await findings(stage, kept)
    assert "cut off" in found["what"]


async def test_a_checkpoint_finds_a_chain_that_is_written_anew(stage: Stage) -> None:
    await fill(stage)
    kept = await keep(stage)
    await wipe(stage.broker.database)
    (gone,) = await findings(stage, kept)
    assert "whole chain" in gone["what"]
    await fill(stage)
    assert await findings(stage) == []
    (found,) = await findings(stage, kept)
    assert (found["seq"], "not the entry" in found["what"]) == (LENGTH, True)


async def test_what_stands_before_the_first_entry_is_found(stage: Stage) -> None:
    await fill(stage)
    await forged_beginning(stage, 4)
    kept = await keep(stage)

    def back(connection: Connection) -> None:
        connection.execute(update(audit_chains).values(first_seq=1, first_previous=GENESIS))

    await stage.broker.database.write(do, back)
    said = [found["what"] for found in await findings(stage, kept)]
    assert any("before the checkpoint's first one" in what for what in said)


async def test_pages_follow_each_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_rows, "PAGE", 2)
    await fill(stage)
    found = await verify(stage.broker, ME, [await keep(stage)])
    assert (found["intact"], found["entries"]) == (True, LENGTH)


async def test_findings_are_counted_and_the_first_ones_kept(stage: Stage) -> None:
    await fill(stage, 110)
    await stage.broker.database.write(
        do, lambda connection: connection.execute(update(audit).values(verb="a:b:c"))
    )
    found = await verify(stage.broker, ME)
    assert (found["found"], len(found["findings"])) == (110, 100)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format": "other"}', b"\xff"])
async def test_what_is_no_checkpoint_is_refused(stage: Stage, text: bytes) -> None:
    with pytest.raises(InvalidInput, match="no checkpoint"):
        await verify(stage.broker, ME, [text])


async def test_a_checkpoint_with_absurd_values_is_refused(stage: Stage) -> None:
    await fill(stage, 1)
    whole = await checkpoint(stage.broker, ME)
    absurd: list[tuple[str, Any]] = [
        ("head_seq", -1),
        ("head_seq", "1"),
        ("head_hash", "x"),
        ("more", 1),
        ("times", []),
        ("times", {"one": whole["at"]}),
        ("times", {"1": "2026-01-01"}),
    ]
    for name, value in absurd:
        facts = {**whole["chains"][CHAIN], name: value}
        text = json.dumps({**whole, "chains": {CHAIN: facts}}).encode()
        with pytest.raises(InvalidInput):
            await verify(stage.broker, ME, [text])
    for other_facts in ({"at": "2026-01-01"}, {"days": -1}, {"days": 10**12}, {"days": "396"}):
        with pytest.raises(InvalidInput):
            await verify(stage.broker, ME, [json.dumps({**whole, **other_facts}).encode()])


async def test_the_audit_is_an_operators(stage: Stage) -> None:
    ada = people(stage).ada
    for work in (checkpoint, verify):
        with pytest.raises(AccessDenied):
            await work(stage.broker, ada)
