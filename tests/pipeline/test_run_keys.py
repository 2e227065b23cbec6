"""One run attempt is one run with one correlation id, whatever comes first and however often."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stage import RELEASE, key_of
from tests.strategies import at_length
from zekt_bot.db.tables import runs
from zekt_bot.domain.access import WorkflowRun as Principal
from zekt_bot.domain.events import RunKey
from zekt_bot.operations import messages

if TYPE_CHECKING:
    from tests.stage import Stage

ATTEMPTS = 3  # two of one run, and one of another
picks = st.lists(
    st.tuples(
        st.integers(0, ATTEMPTS - 1), st.sampled_from(["run", "job", "message"]), st.integers(0)
    ),
    min_size=1,
    max_size=14,
)
Told = dict[tuple[int, str], list[bytes]]


async def attempts_of(stage: Stage) -> tuple[list[RunKey], Told]:
    """Fresh attempts, and every webhook that GitHub sends about each."""
    keys: list[RunKey] = []
    told: Told = {}

    def sort(number: int) -> None:
        for sent in stage.held:
            kind = {"workflow_run": "run", "workflow_job": "job"}[sent.event]
            told.setdefault((number, kind), []).append(sent.body)
        stage.held.clear()

    stage.held.clear()
    run = await stage.finish_run("build")
    keys.append(key_of(run))
    sort(0)
    await run.rerun()
    await run.start_job("again")
    await run.complete()
    keys.append(key_of(run))
    sort(1)
    keys.append(key_of(await stage.finish_run("build")))
    sort(2)
    return keys, told


@settings(max_examples=at_length(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(picks=picks)
async def test_each_attempt_has_one_run_and_one_correlation_id(
    stage: Stage, picks: list[tuple[int, str, int]]
) -> None:
    if not await stage.rows(runs):
        await stage.publish("*")
    keys, told = await attempts_of(stage)
    named: dict[RunKey, set[str]] = {}
    for number, kind, pick in picks:
        key = keys[number]
        if kind == "message":
            body = str(pick % 3).encode()
            made = await messages.store(stage.broker, Principal(key, RELEASE), "released", body)
            named.setdefault(key, set()).add(made.correlation_id)
            continue
        bodies = told[number, kind]
        await stage.tell(f"workflow_{kind}", bodies[pick % len(bodies)])
        while await stage.route():
            pass
    found: dict[RunKey, Any] = {}
    for row in await stage.rows(runs):
        key = RunKey(row["repository_id"], row["run_id"], row["run_attempt"])
        assert key not in found
        found[key] = row["correlation_id"]
    assert {key for key in keys if key in found} == {keys[number] for number, *_ in picks}
    assert len(set(found.values())) == len(found)
    for key, ids in named.items():
        assert ids == {found[key]}
    for key in keys:
        if key in found:
            assert re.fullmatch(r"cor_[0-9a-z]{26}", found[key])
            assert not any(str(number) in found[key] for number in key[:2])
