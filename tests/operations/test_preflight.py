"""What is found in a consumer's repository: a test for each finding, and for each limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import shielding
from tests.operations.people import people
from tests.stage import ME, SERVICE
from zekt_bot.db import subscriptions as rows_of
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.errors import AccessDenied, GitHubError, NotFound
from zekt_bot.operations import services, shield_keys
from zekt_bot.operations.preflight import MOST_ELSEWHERE, MOST_FILES, check_subscription
from zekt_bot.operations.preflight.findings import LEVELS, RUN_NAME, WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.domain.subscriptions import Subscription
    from zekt_bot.operations.preflight.findings import Finding

DEPLOY = ".github/workflows/deploy.yml"
RELEASED = "released"
GOOD = f"""\
name: Deploy
{RUN_NAME}
on:
  repository_dispatch:
    types: [{RELEASED}]
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - run: deploy "$VERSION"
        env:
          VERSION: ${{{{ github.event.client_payload.zekt.payload.version }}}}
"""


async def check(stage: Stage, *event_types: str) -> list[Finding]:
    """Subscribe to a service that may send these types, and check."""
    held = await stage.serve(*(event_types or (RELEASED,)))
    return list(await check_subscription(stage.broker, ME, held.id))


async def change(stage: Stage, held: Subscription, **values: Any) -> None:
    """Change the subscription's row."""

    def write(connection: Connection, _: Sequence[None]) -> list[None]:
        rows_of.change(connection, held.id, **values)
        return [None]

    await stage.broker.database.write(write, None)


def brief(findings: list[Finding]) -> list[tuple[object, ...]]:
    return [(each.level, each.word, each.file, each.line) for each in findings]


async def test_a_repository_that_is_well(stage: Stage) -> None:
    stage.github.add_workflow(stage.consumer, DEPLOY, text=GOOD)
    stage.github.add_workflow(stage.consumer, "ci.yml", text="on: push\nconcurrency: ci\n")
    found = await check(stage)
    assert brief(found) == [
        ("ok", "reacts", DEPLOY, 4),
        ("ok", "run_name_proves", DEPLOY, 2),
    ]
    assert found[0].text == f"{DEPLOY} starts on {RELEASED}."


async def test_the_token_is_narrow_and_used_for_this_alone(stage: Stage) -> None:
    stage.github.add_workflow(stage.consumer, DEPLOY, text=GOOD)
    held = await stage.serve(RELEASED)
    before = len(stage.github.requests)
    await check_subscription(stage.broker, ME, held.id)
    await check_subscription(stage.broker, ME, held.id)
    asked = stage.github.requests[before:]
    assert [each.method for each in asked].count("POST") == 2  # one token a check
    tokens = {id(each.token): each.token for each in asked if each.token}
    assert len(tokens) == 2
    for token in tokens.values():
        assert token.permissions == {"contents": "read", "actions": "read", "metadata": "read"}
        assert token.repositories == frozenset({stage.consumer.id})


async def test_no_workflow_reacts(stage: Stage) -> None:
    for text in (None, "on: push\n", "on: {repository_dispatch: {types: [other]}}\n"):
        if text is not None:
            stage.github.write_file(stage.consumer, DEPLOY, text)
    found = await check(stage)
    assert brief(found) == [("problem", "no_reaction", None, None)]
    assert RELEASED in found[0].text
    assert "types: [released]" in found[0].text


async def test_an_empty_repository_reacts_to_nothing(stage: Stage) -> None:
    assert brief(await check(stage)) == [("problem", "no_reaction", None, None)]


async def test_a_type_that_nobody_hears_while_others_are_heard(stage: Stage) -> None:
    stage.github.add_workflow(stage.consumer, DEPLOY, text=GOOD)
    found = await check(stage, RELEASED, "retired")
    assert ("hint", "no_reaction", None, None) in brief(found)
    assert [each.text for each in found if each.word == "no_reaction" and "retired" in each.text]


@pytest.mark.parametrize(
    ("on", "words"),
    [
        ("repository_dispatch", "any event type"),
        ("{repository_dispatch: {types: [a, b]}}", "a, b"),
        ("push", None),
    ],
)
async def test_a_service_that_may_send_anything(stage: Stage, on: str, words: str | None) -> None:
    stage.github.write_file(stage.consumer, DEPLOY, f"on: {on}\n{RUN_NAME}\n")
    found = await check(stage, "*")
    if words is None:
        assert brief(found) == [("problem", "no_reaction", None, None)]
        assert "starts on a dispatch" in found[0].text
    else:
        assert found[0].text == f"{DEPLOY} starts on {words}."


async def test_only_what_filters_keep_is_looked_for(stage: Stage) -> None:
    held = await stage.serve("a", "b")
    filters = '{"event_types": ["b"]}'
    await change(stage, held, filters=filters)
    stage.github.write_file(stage.consumer, DEPLOY, f"on: repository_dispatch\n{RUN_NAME}\n")
    found = await check_subscription(stage.broker, ME, held.id)
    assert found[0].text == f"{DEPLOY} starts on b."


async def test_actions_is_disabled(stage: Stage) -> None:
    stage.github.disable_actions(stage.consumer)
    stage.github.write_file(stage.consumer, DEPLOY, GOOD)
    found = await check(stage)
    assert ("problem", "actions_disabled", None, None) in brief(found)
    assert "reacts" not in [each.word for each in found]


async def test_a_workflow_that_github_does_not_list(stage: Stage) -> None:
    stage.github.add_workflow(stage.consumer, "ci.yml", text="on: push\n")
    stage.github.disable_actions(stage.consumer)
    stage.github.write_file(stage.consumer, DEPLOY, GOOD)
    assert ("hint", "not_listed", DEPLOY, 4) in brief(await check(stage))


@pytest.mark.parametrize("state", ["disabled_manually", "disabled_inactivity", "disabled_fork"])
async def test_a_workflow_is_disabled(stage: Stage, state: str) -> None:
    workflow = stage.github.add_workflow(stage.consumer, DEPLOY, text=GOOD)
    stage.github.disable_workflow(workflow, state)  # type: ignore[arg-type]
    found = await check(stage)
    assert brief(found)[0] == ("problem", "workflow_disabled", DEPLOY, 4)
    assert state in found[0].text


async def test_a_workflow_on_another_branch_alone(stage: Stage) -> None:
    stage.github.add_workflow(stage.consumer, DEPLOY, text=GOOD, branch="feature/deploy")
    stage.github.add_workflow(stage.consumer, "quiet.yml", text=GOOD, branch="never-ran")
    stage.github.add_workflow(stage.consumer, "ci.yml", text="on: push\n", branch="topic")
    for path, branch in ((DEPLOY, "feature/deploy"), ("ci.yml", "topic")):
        await stage.github.start_run(stage.consumer, path, head_branch=branch)
    found = await check(stage)
    assert brief(found) == [
        ("problem", "no_reaction", None, None),
        ("problem", "not_on_default_branch", DEPLOY, 4),
    ]
    assert "feature/deploy" in found[1].text
    assert "main" in found[1].text


async def test_a_deleted_workflow_is_not_looked_for_elsewhere(stage: Stage) -> None:
    workflow = stage.github.add_workflow(stage.consumer, DEPLOY, text=GOOD)
    await stage.github.start_run(stage.consumer, DEPLOY)
    stage.github.delete_workflow(workflow)
    assert brief(await check(stage)) == [("problem", "no_reaction", None, None)]


async def test_only_so_many_workflows_are_looked_for_elsewhere(stage: Stage) -> None:
    for number in range(MOST_ELSEWHERE + 5):
        stage.github.add_workflow(stage.consumer, f"w{number}.yml", branch="topic")
    await check(stage)
    looked = [each for each in stage.github.requests if each.path.endswith("/runs")]
    assert len(looked) == MOST_ELSEWHERE


@pytest.mark.parametrize(
    ("concurrency", "words"),
    [
        ("concurrency: deploy", "a third cancels the one that waits"),
        ("concurrency: {group: deploy, cancel-in-progress: true}", "cancels the one that runs"),
        ("jobs: {deploy: {concurrency: deploy}}", "the job deploy"),
    ],
)
async def test_a_group_that_drops_runs(stage: Stage, concurrency: str, words: str) -> None:
    text = f"on: repository_dispatch\n{RUN_NAME}\n{concurrency}\n"
    stage.github.write_file(stage.consumer, DEPLOY, text)
    found = await check(stage)
    assert brief(found)[0] == ("problem", "drops_runs", DEPLOY, 3)
    assert words in found[0].text
    assert "queue: max" in found[0].text


async def test_a_script_injection(stage: Stage) -> None:
    bad = GOOD.replace('"$VERSION"', "${{ github.event.client_payload.zekt.payload.version }}")
    stage.github.write_file(stage.consumer, DEPLOY, bad)
    found = await check(stage)
    assert brief(found)[0] == ("problem", "script_injection", DEPLOY, 10)
    assert "`env:`" in found[0].text


async def test_a_run_name_that_proves_nothing(stage: Stage) -> None:
    held = await stage.serve(RELEASED)
    for line, number, how in (("", 1, "add the line"), ("run-name: x", 2, "into its")):
        stage.github.write_file(stage.consumer, DEPLOY, GOOD.replace(RUN_NAME, line))
        found = await check_subscription(stage.broker, ME, held.id)
        assert brief(list(found))[0] == ("hint", "run_name_missing", DEPLOY, number)
        assert RUN_NAME in found[0].text
        assert how in found[0].text


ACTION = (
    "uses: ACME/zekt/action@v1\n        with: {mode: receive, zekt-api-url: https://zekt.example}"
)
RECEIVING = GOOD.replace("- run: deploy", f"- {ACTION}\n      - run: deploy")
TOKEN = "permissions: {id-token: write}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            RECEIVING.replace(RUN_NAME, TOKEN),
            [("ok", "reacts", 4), ("ok", "step_confirms", 10)],
        ),
        (
            RECEIVING.replace("name: Deploy", TOKEN),
            [("ok", "reacts", 4), ("ok", "run_name_proves", 2), ("ok", "step_confirms", 10)],
        ),
        (
            RECEIVING,
            [("problem", "no_id_token", 10), ("ok", "reacts", 4), ("ok", "run_name_proves", 2)],
        ),
        (
            RECEIVING.replace(RUN_NAME, ""),
            [("problem", "no_id_token", 10), ("hint", "run_name_missing", 1), ("ok", "reacts", 4)],
        ),
    ],
    ids=["confirms", "both", "the run-name alone", "neither"],
)
async def test_a_step_that_confirms(
    stage: Stage, text: str, expected: list[tuple[str, str, int]]
) -> None:
    stage.github.write_file(stage.consumer, DEPLOY, text)
    found = await check(stage)
    assert [(each.level, each.word, each.line) for each in found] == expected


async def test_a_step_that_confirms_on_a_condition_says_so_if_no_other_does(stage: Stage) -> None:
    guarded = f"if: github.ref\n        {ACTION}"
    held = await stage.serve(RELEASED)
    for steps, condition in ((guarded, True), (f"{guarded}\n      - {ACTION}", False)):
        text = GOOD.replace(RUN_NAME, TOKEN).replace("- run: deploy", f"- {steps}\n      - run: x")
        stage.github.write_file(stage.consumer, DEPLOY, text)
        found = await check_subscription(stage.broker, ME, held.id)
        (said,) = [each.text for each in found if each.word == "step_confirms"]
        assert ("where its `if:` holds" in said) == condition


async def test_files_that_are_not_read_are_told(stage: Stage) -> None:
    stage.github.write_file(stage.consumer, DEPLOY, GOOD)
    stage.github.write_file(stage.consumer, ".github/workflows/broken.yml", "on: [push\n")
    stage.github.write_file(stage.consumer, ".github/workflows/deep.yml", "[\n" * 100)
    stage.github.write_file(stage.consumer, ".github/workflows/large.yml", "#" * 600_000)
    stage.github.write_file(stage.consumer, ".github/workflows/README.md", "[")
    hints = [each for each in brief(await check(stage)) if each[0] == "hint"]
    assert hints == [
        ("hint", "broken_yaml", ".github/workflows/broken.yml", 2),
        ("hint", "too_large", ".github/workflows/deep.yml", None),
        ("hint", "too_large", ".github/workflows/large.yml", None),
    ]
    read = [each.path for each in stage.github.requests]
    assert not any(path.endswith("large.yml") for path in read)


async def test_only_so_many_files_are_read(stage: Stage) -> None:
    for number in range(MOST_FILES + 3):
        stage.github.write_file(stage.consumer, f".github/workflows/{number:03}.yml", "on: push\n")
    found = await check(stage)
    assert ("hint", "too_many_files", None, None) in brief(found)
    assert sum("/workflows/0" in each.path for each in stage.github.requests) == MOST_FILES


async def test_a_repository_that_cannot_be_read(stage: Stage) -> None:
    held = await stage.serve()
    await stage.github.remove_repositories(stage.consuming, stage.consumer)
    found = await check_subscription(stage.broker, ME, held.id)
    assert brief(list(found)) == [("problem", "no_access", None, None)]
    await stage.listen()
    again = await check_subscription(stage.broker, ME, held.id)
    assert "the App is not active there" in again[0].text


async def test_a_suspended_installation_cannot_be_read(stage: Stage) -> None:
    held = await stage.serve()
    await stage.github.suspend(stage.consuming)
    (found,) = await check_subscription(stage.broker, ME, held.id)
    assert (found.level, found.word) == ("problem", "no_access")
    assert "suspended" in found.text


async def test_another_channel_starts_no_workflow(stage: Stage) -> None:
    held = await stage.serve()
    await change(stage, held, channel="webhook")
    before = len(stage.github.requests)
    (found,) = await check_subscription(stage.broker, ME, held.id)
    assert (found.level, found.word) == ("ok", "not_dispatched")
    assert len(stage.github.requests) == before


async def test_github_that_does_not_answer_is_an_error(stage: Stage) -> None:
    held = await stage.serve()
    stage.github.fail("GET", "*/actions/workflows", status=502)
    with pytest.raises(GitHubError):
        await check_subscription(stage.broker, ME, held.id)


async def test_who_may_check(stage: Stage) -> None:
    held = await stage.serve()
    before = len(stage.github.requests)
    run = WorkflowRun(RunKey(1, 2, 3))
    for wanted in (held.id, "sub_0"):
        with pytest.raises(AccessDenied):
            await check_subscription(stage.broker, run, wanted)
    there = people(stage)
    for who in (ME, there.mia, there.wes, there.eve):
        with pytest.raises(NotFound):
            await check_subscription(stage.broker, who, "sub_0")
    assert len(stage.github.requests) == before
    with pytest.raises(AccessDenied):  # the provider knows the subscription, not what is there
        await check_subscription(stage.broker, there.ada, held.id)
    for who in (there.wes, there.eve):
        with pytest.raises(NotFound):
            await check_subscription(stage.broker, who, held.id)
    assert await check_subscription(stage.broker, there.mia, held.id)


def test_levels_are_in_the_order_of_their_weight() -> None:
    assert LEVELS == ("problem", "hint", "ok")
    assert list(WORDS) == sorted(WORDS)


async def test_a_service_that_takes_encrypted_messages_alone_needs_a_key(stage: Stage) -> None:
    held = await stage.serve(RELEASED)
    stage.github.add_workflow(stage.consumer, DEPLOY, text=GOOD)

    async def words() -> list[str]:
        return [found.word for found in await check_subscription(stage.broker, ME, held.id)]

    well = await words()
    await services.edit(stage.broker, ME, SERVICE, {"shield": True})
    assert await words() == ["no_key", *well]
    pem = shielding.public_pem(shielding.private_key())
    key = await shield_keys.add(stage.broker, ME, stage.consumer.full_name, pem)
    assert await words() == well
    await shield_keys.remove(stage.broker, ME, key.id)
    await shield_keys.add(stage.broker, ME, stage.consumer.owner.login, pem)
    assert await words() == well
