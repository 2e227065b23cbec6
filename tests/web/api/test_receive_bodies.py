"""What a body of `POST /api/events/receive` may be, and what of it is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.api.calling import RECEIVE, message
from zekt_bot.db.tables import messages as rows

if TYPE_CHECKING:
    from tests.web.api.calling import Api


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"repository": "aurora-labs/other"}, 403, "another repository"),
        ({"workflowRunId": "1"}, 403, "another run"),
        ({"workflowRunId": None}, 400, "workflow_run_id|workflowRunId"),
        ({"workflowRunId": 1.5}, 400, "workflowRunId"),
        ({"eventType": None}, 400, "eventType"),
        ({"eventType": ["released"]}, 400, "eventType"),
        ({"eventType": ""}, 400, "eventType"),
        ({"eventType": "x" * 101}, 400, "eventType"),
        ({"eventType": "a\u202eb"}, 400, "control character"),
        ({"eventType": " a"}, 400, "blanks around"),
        ({"orchestration_step_ref": {"execution_id": "e", "step_id": "s"}}, 422, "Orchestrations"),
        ({"payload": "x" * 524_287}, 413, "524289 bytes; at most 524288"),
        ({"payload": "x" * 700_000}, 413, "655360"),
    ],
)
async def test_what_a_body_says_is_checked(
    local: Api, changed: dict[str, Any], status: int, said: str
) -> None:
    await local.stage.publish("released")
    run = await local.run()
    answered = await local.send(run, **changed)
    assert answered.status == status
    assert any(each in answered.body["error"] for each in said.split("|"))
    assert await local.stage.rows(rows) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"payload": NaN}', 400),
        (b'\xef\xbb\xbf{"payload": 1}', 400),
        (b'{"payload": "\xff"}', 400),
        (b'{"payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422),
    ],
)
async def test_what_is_no_body_of_a_message(local: Api, body: bytes, status: int) -> None:
    run = await local.run()
    assert (await local.call(RECEIVE, body, token=local.token(run))).status == status


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"[" * 64 + b"]" * 64, 200),
        (b"[" * 65 + b"]" * 65, 422),
        (b'"\\ud800"', 400),
        (b'"\xff"', 400),
        (b"1e999999", 400),
        (b"null", 200),
    ],
)
async def test_payloads(local: Api, payload: bytes, status: int) -> None:
    await local.stage.publish("released")
    run = await local.run()
    body = json.dumps(message(run)).encode()[:-1] + b', "payload": ' + payload + b"}"
    assert (await local.call(RECEIVE, body, token=local.token(run))).status == status


async def test_a_payload_may_be_null_and_must_be_there(local: Api) -> None:
    await local.stage.publish("released")
    run = await local.run()
    assert (await local.send(run, None)).status == 200
    missing = await local.call(RECEIVE, message(run), token=local.token(run))
    assert (missing.status, "payload" in missing.body["error"]) == (400, True)
