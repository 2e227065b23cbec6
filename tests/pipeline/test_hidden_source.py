"""A hidden source stays hidden, whatever its names and numbers are and wherever they stand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import ran, service
from zekt_bot.domain.catalog import Profile
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.events import Envelope, Job, Message, Run, RunKey
from zekt_bot.pipeline.aggregate import metadata
from zekt_bot.pipeline.render import Letter, render

AT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
names = st.text("abcdefghijklmnopqrstuvwxyz", min_size=12, max_size=30)
numbers = st.integers(10**9, 2**63 - 1)
PLACES = ("owner", "repository", "branch", "actor", "workflow", "job")


@st.composite
def sources(draw: st.DrawFn) -> tuple[Letter, list[str]]:
    """A letter of a hidden source, and all that must not be in it."""
    told = {place: draw(names) for place in PLACES}
    ids = [draw(numbers) for _ in range(4)]
    repository_id, run_id, account_id, head_id = ids
    word = draw(st.sampled_from([*told.values(), *map(str, ids)]))
    source = f"{told['owner']}/{told['repository']}"
    facts = ran(
        workflow_path=f".github/workflows/{told['workflow']}-{word}.yml",
        workflow_name=f"{told['workflow']} of {word}",
        head_branch=f"{told['branch']}/{word}",
        head_sha=draw(st.text("0123456789abcdef", min_size=40, max_size=40)),
        head_repository_id=head_id,
        html_url=f"https://github.com/{source}/actions/runs/{run_id}",
        actor=f"{told['actor']}-{word}",
        display_title=f"{source}: {word}",
    )
    run = Run("run_1", RunKey(repository_id, run_id, 1), "cor_1", "done", 1, 0, facts)
    job = Job(1, f"{told['job']} {word}", "completed", "success", AT, AT)
    body = draw(st.sampled_from([None, b'{"version":"1.4.0"}', b'"%s"' % (b"." * 60_000)]))
    message = (
        Message(
            "msg_1", "run_1", "evt_1", "released", hashlib.sha256(body).hexdigest(), len(body), AT
        )
        if body
        else None
    )
    letter = Letter(
        delivery=Delivery(
            "dlv_1",
            "evt_1",
            "subscription",
            "sub_1",
            0,
            2,
            "repository_dispatch",
            "github:1",
            "pending",
            0,
            AT,
        ),
        envelope=Envelope("evt_1", "run_1", "message", "released", None, 1, "", AT),
        run=run,
        service=service(
            owner=told["owner"],
            account_id=account_id,
            repository_id=repository_id,
            workflow_path=facts.workflow_path,
            profile=Profile(
                title=draw(st.sampled_from(["", "Releases"])),
                alias="the-alias",
                hidden_source=True,
                event_types=("*",),
            ),
        ),
        metadata=metadata(run, [job] * draw(st.sampled_from([0, 1, 400])), source),
        message=message,
        message_body=body,
    )
    return letter, [*told.values(), *map(str, ids), facts.head_sha or ""]


@given(sources())
def test_nothing_of_the_source_is_in_the_bytes(drawn: tuple[Letter, list[str]]) -> None:
    letter, secrets = drawn
    sent = render(letter)
    for secret in secrets:
        assert secret.encode() not in sent
    told: dict[str, Any] = orjson.loads(sent)["client_payload"]["zekt"]
    assert told["sourceRepo"] is told["jobs"] is None
    assert told["service"] == {"owner": "the-alias", "slug": "release"}
    assert told["workflow"]["name"] == (letter.service.profile.title or "release")
    assert "jobsOmitted" not in told


@given(sources())
def test_what_the_source_chose_to_say_stays(drawn: tuple[Letter, list[str]]) -> None:
    letter, _ = drawn
    told = orjson.loads(render(letter))["client_payload"]["zekt"]
    small = letter.message_body is not None and len(letter.message_body) < 1000
    assert (told["payload"] is not None) is small
    assert ("payloadRef" in told) is (letter.message_body is not None and not small)
