"""The payload's page against what goes out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.docs.pages import blocks, page, table
from tests.factories import service
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.events import Envelope, Job, Message, Run, RunFacts, RunKey
from zekt_bot.pipeline.aggregate import metadata
from zekt_bot.pipeline.render import MOST_BYTES, Letter, render

PAGE = "reference/payload.md"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
    "any": object,
}
FACTS = RunFacts(
    workflow_path=".github/workflows/release.yml",
    workflow_name="Release",
    run_number=7,
    event="push",
    status="completed",
    conclusion="success",
    head_branch="main",
    head_sha="a" * 40,
    head_repository_id=1,
    html_url="https://github.com/acme/widget/actions/runs/1",
    actor="octocat",
    display_title="Release 1.4.0",
    created_at=AT,
    started_at=AT,
    completed_at=AT,
)
RUN = Run("run_1", RunKey(1, 1, 1), "cor_1", "done", 1, 0, FACTS)
DELIVERY = Delivery(
    "dlv_1", "evt_1", "subscription", "sub_1", 0, 2, "repository_dispatch", "l", "pending", 0, AT
)
ENVELOPE = Envelope("evt_1", "run_1", "message", "release-published", "msg_1", 1, "", AT)
SERVICE = service("*", owner="acme")
JOB = Job(1, "build", "completed", "success", AT, AT)


def sent(message: bytes | None, jobs: int = 1, run: Run = RUN) -> dict[str, Any]:
    """The whole body that is posted."""
    held = None
    if message is not None:
        held = Message("msg_1", "run_1", "evt_1", "release-published", "0" * 64, len(message), AT)
    shown = metadata(run, [JOB] * jobs, "acme/widget")
    letter = Letter(DELIVERY, ENVELOPE, run, SERVICE, shown, held, message)
    body: dict[str, Any] = orjson.loads(render(letter))
    return body


def fields(value: Any, name: str) -> dict[str, list[Any]]:
    """Each field's dotted name and its values. What is inside the message is the sender's."""
    found: dict[str, list[Any]] = {name: [value]}
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict) and name != "zekt.payload":
        inner = [(f"{name}.{key}", held) for key, held in value.items()]
    if isinstance(value, list) and name != "zekt.payload":
        inner = [(f"{name}[]", held) for held in value]
    for key, held in inner:
        for field, values in fields(held, key).items():
            found.setdefault(field, []).extend(values)
    return found


def documented() -> dict[str, list[str]]:
    """Each field of the page's table, and the kinds that it may have."""
    return {row[0]: row[1].split(" or ") for row in table(page(PAGE))}


BARE = replace(
    RUN, facts=replace(FACTS, conclusion=None, head_branch=None, actor=None, completed_at=None)
)
BODIES = (
    sent(b'{"version":"1.4.0"}'),
    sent(None),
    sent(None, run=BARE),
    sent(b"1", jobs=1000),
    sent(b'"%s"' % (b"x" * MOST_BYTES)),
)


def check_kinds(found: dict[str, list[Any]]) -> None:
    """Each value is of a kind that the page names."""
    for name, values in found.items():
        kinds = tuple(KINDS[kind] for kind in documented()[name])
        for value in values:
            assert isinstance(value, kinds), name
            assert not (isinstance(value, bool) and bool not in kinds and object not in kinds), name


def test_the_page_lists_every_field_that_is_sent_and_no_other() -> None:
    seen: set[str] = set()
    for body in BODIES:
        assert set(body) == {"event_type", "client_payload"}
        assert set(body["client_payload"]) == {"zekt"}
        found = fields(body["client_payload"]["zekt"], "zekt")
        check_kinds({name: values for name, values in found.items() if name != "zekt"})
        seen |= set(found)

    assert seen - {"zekt"} == set(documented())


def test_the_example_has_the_fields_and_kinds_of_a_real_one() -> None:
    (example,) = blocks(page(PAGE), "json")
    shown = fields(orjson.loads(example)["client_payload"]["zekt"], "zekt")
    real = fields(BODIES[0]["client_payload"]["zekt"], "zekt")

    assert set(orjson.loads(example)) == set(BODIES[0])
    assert list(shown) == list(real)
    for name, prefix in (("deliveryId", "dlv"), ("eventId", "evt"), ("correlationId", "cor")):
        assert re.fullmatch(rf"{prefix}_[0-9a-z]{{26}}", shown[f"zekt.{name}"][0])
    check_kinds({name: values for name, values in shown.items() if name != "zekt"})


def test_the_page_names_the_limit() -> None:
    assert f"{MOST_BYTES:,} bytes" in page(PAGE)
