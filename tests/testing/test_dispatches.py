"""`repository_dispatch`: refusals in GitHub's words, and the runs that it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from zekt_bot.testing.dispatches import MOST_BYTES

if TYPE_CHECKING:
    from tests.testing.conftest import Scene


def payload_of(size: int) -> dict[str, str]:
    """A client payload of so many bytes of compact JSON."""
    return {"data": "x" * (size - len('{"data":""}'))}


async def test_a_dispatch_is_accepted_and_kept(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    answer = await scene.client.dispatch(token, "Aurora-Labs/Payments-API", "build", {"a": [1]})
    assert (answer.status, answer.body) == (204, None)
    (dispatch,) = scene.github.dispatches
    assert dispatch.repository is scene.api
    assert (dispatch.event_type, dispatch.client_payload) == ("build", {"a": [1]})
    assert dispatch.raw == b'{"event_type": "build", "client_payload": {"a": [1]}}'
    assert (dispatch.app, dispatch.token.value) == (scene.app, token)
    assert dispatch.at == scene.github.clock.now()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (
            {"event_type": "x" * 101},
            422,
            "Invalid request.\n\nOnly 100 characters are allowed; 101 were supplied.",
        ),
        (
            {"event_type": "x", "client_payload": {str(n): n for n in range(11)}},
            422,
            "Invalid request.\n\nNo more than 10 properties are allowed; 11 were supplied.",
        ),
        (
            {"event_type": "x", "client_payload": payload_of(MOST_BYTES + 1)},
            422,
            "client_payload is too large.",
        ),
        ({}, 422, 'Invalid request.\n\n"event_type" wasn\'t supplied.'),
        (
            {"event_type": "x", "client_payload": []},
            422,
            "Invalid request.\n\nFor 'properties/client_payload', [] is not an object.",
        ),
        (
            {"id": 1, "action": "x"},
            422,
            'Invalid request.\n\n"action", "id" are not permitted keys.\n'
            '"event_type" wasn\'t supplied.',
        ),
        (
            {"event_type": "x", "foo": 1},
            422,
            'Invalid request.\n\n"foo" is not a permitted key.',
        ),
        (
            {"event_type": 5, "client_payload": "x"},
            422,
            "Invalid request.\n\nFor 'properties/event_type', 5 is not a string.\n"
            "For 'properties/client_payload', \"x\" is not an object.",
        ),
        (
            {"event_type": None, "client_payload": [{"a": None}, "b"]},
            422,
            "Invalid request.\n\nFor 'properties/event_type', nil is not a string.\n"
            'For \'properties/client_payload\', [{"a"=>nil}, "b"] is not an object.',
        ),
        (b"", 422, "Invalid request.\n\nFor 'links/0/schema', nil is not an object."),
        (b"{", 400, "Problems parsing JSON"),
        (b"[]", 400, "Body should be a JSON object"),
    ],
)
async def test_a_bad_dispatch_is_refused(
    scene: Scene, body: Any, status: int, message: str
) -> None:
    token = await scene.client.token(scene.installation)
    path = f"/repos/{scene.api.full_name}/dispatches"
    answer = await scene.client.ask("POST", path, token, body)
    assert (answer.status, answer.body["message"]) == (status, message)
    assert answer.body["status"] == str(status)
    assert not scene.github.dispatches


async def test_the_largest_dispatch_is_accepted(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    name = scene.api.full_name
    answer = await scene.client.dispatch(token, name, "x" * 100, payload_of(MOST_BYTES))
    assert answer.status == 204


async def test_an_archived_repository_is_read_only(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    await scene.github.archive(scene.api)
    answer = await scene.client.dispatch(token, scene.api.full_name)
    assert answer.status == 403
    assert answer.body["message"] == "Repository was archived so is read-only."


async def test_a_renamed_repository_redirects(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    former = scene.api.full_name
    await scene.github.rename(scene.api, "payments")
    target = f"{scene.github.api_url}/repositories/{scene.api.id}"

    posted = await scene.client.dispatch(token, former)
    assert posted.status == 307
    assert posted.headers["Location"] == f"{target}/dispatches"
    assert posted.body["message"] == "Moved Permanently"
    assert posted.body["url"] == f"{target}/dispatches"
    assert not scene.github.dispatches
    got = await scene.client.ask("GET", f"/repos/{former}/actions/runs?event=push", token)
    assert got.status == 301
    assert got.headers["Location"] == f"{target}/actions/runs?event=push"
    followed = await scene.client.ask("GET", target, token)
    assert followed.body["full_name"] == "aurora-labs/payments"
    body = {"event_type": "build"}
    answer = await scene.client.ask("POST", f"{target}/dispatches", token, body)
    assert answer.status == 204
    as_app = await scene.client.as_app(scene.app, f"/repos/{former}/installation")
    assert as_app.headers["Location"] == f"{target}/installation"


async def test_a_former_name_does_not_betray_a_private_repository(scene: Scene) -> None:
    other = await scene.github.install(scene.app, scene.github.account("stranger"))
    token = await scene.client.token(other)
    former = scene.api.full_name
    await scene.github.rename(scene.api, "payments")
    assert (await scene.client.dispatch(token, former)).status == 404


async def test_a_renamed_account_redirects_too(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    await scene.github.rename_account(scene.org, "aurora")
    assert (await scene.client.dispatch(token, "aurora-labs/docs")).status == 307
    assert (await scene.client.dispatch(token, "aurora/docs")).status == 204


async def test_a_matching_workflow_runs(scene: Scene) -> None:
    scene.github.add_workflow(
        scene.api,
        "consume.yml",
        "Consume",
        on_dispatch_types=["build"],
        run_name="For ${{ github.event.client_payload.zekt.deliveryId }}",
        finishes="success",
    )
    scene.github.add_workflow(scene.api, "else.yml", on_dispatch_types=["deploy"])
    token = await scene.client.token(scene.installation)
    payload = {"zekt": {"deliveryId": "dlv_7"}}
    await scene.client.dispatch(token, scene.api.full_name, "build", payload)
    await scene.github.settle()
    assert scene.receiver.names == [
        "workflow_run.requested",
        "workflow_run.in_progress",
        "workflow_job.queued",
        "workflow_job.in_progress",
        "workflow_job.completed",
        "workflow_run.completed",
    ]
    told = scene.receiver.hooks[-1].body
    run = told["workflow_run"]
    assert run["event"] == "repository_dispatch"
    assert run["actor"]["login"] == "zekt-orchestrator-app[bot]"
    assert run["actor"]["type"] == "Bot"
    assert run["display_title"] == run["name"] == "For dlv_7"
    assert told["workflow"]["name"] == "Consume"
    assert run["conclusion"] == "success"
    assert scene.github.runs[0].client_payload == payload


async def test_a_script_ends_the_run(scene: Scene) -> None:
    scene.github.add_workflow(scene.api, "consume.yml", on_dispatch_types=["*"])
    token = await scene.client.token(scene.installation)
    await scene.client.dispatch(token, scene.api.full_name, "any-type")
    run = await scene.github.wait_for_run(scene.api)
    assert run.display_title == "any-type"
    await run.complete("failure")
    assert scene.receiver.hooks[-1].body["workflow_run"]["conclusion"] == "failure"


async def test_a_dispatch_can_be_waited_for(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    with pytest.raises(TimeoutError):
        await scene.github.wait_for_dispatches(timeout=0.01)
    await scene.client.dispatch(token, scene.api.full_name)
    assert len(await scene.github.wait_for_dispatches()) == 1
