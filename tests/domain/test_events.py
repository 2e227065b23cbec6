"""Runs, their jobs, and what aggregation may make of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from tests.strategies import moments, run_keys
from zekt_bot.domain.events import (
    Job,
    Run,
    RunFacts,
    RunKey,
    every_seen_job_completed,
)
from zekt_bot.domain.webhooks import Receipt, VerifiedWebhook


def job(status: str) -> Job:
    return Job(1, "build", status, None, None, None)


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ([], False),
        (["completed"], True),
        (["completed", "completed"], True),
        (["completed", "in_progress"], False),
        (["queued"], False),
    ],
)
def test_jobs_are_waited_for(statuses: list[str], answer: bool) -> None:
    assert every_seen_job_completed([job(status) for status in statuses]) is answer


@given(moments, run_keys)
def test_a_fork_is_whatever_is_not_the_repository_itself(at: object, key: RunKey) -> None:
    facts = RunFacts(
        workflow_path=".github/workflows/a.yml",
        workflow_name="a",
        run_number=1,
        event="push",
        status="completed",
        conclusion="success",
        head_branch=None,
        head_sha="0" * 40,
        head_repository_id=key.repository_id,
        html_url="https://github.com/o/r/actions/runs/1",
        actor=None,
        display_title="",
        created_at=at,  # type: ignore[arg-type]
        started_at=at,  # type: ignore[arg-type]
        completed_at=None,
    )
    run = Run("run_1", key, "cor_1", "open", 1, 0, facts)
    assert not run.from_fork
    assert replace(run, facts=replace(facts, head_repository_id=key.repository_id + 1)).from_fork
    assert replace(run, facts=replace(facts, head_repository_id=None)).from_fork
    assert replace(run, facts=None).from_fork, "what nobody knows is not trusted"


@given(run_keys, run_keys)
def test_a_run_key_is_its_three_numbers(one: RunKey, two: RunKey) -> None:
    assert (one == two) == (tuple(one) == tuple(two))
    assert one._asdict().keys() == {"repository_id", "run_id", "run_attempt"}


def test_a_webhooks_body_is_not_shown() -> None:
    webhook = VerifiedWebhook(
        "oauth", "g", "push", None, None, None, None, None, None, None, None, b"private"
    )
    assert "private" not in repr(webhook)
    assert Receipt() == Receipt(duplicate=False, ignored=None)
