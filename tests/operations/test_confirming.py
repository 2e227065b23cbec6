"""Which steps of a workflow file confirm a delivery, and whether their job may ask for a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.operations.workflow_texts import ON, workflow
from zekt_bot.operations.preflight.confirming import Confirming
from zekt_bot.testing import files

EXAMPLES = Path(__file__).parents[2] / "examples" / "workflows"
RECEIVE = "{uses: A/zekt/action@v1, with: {mode: receive, zekt-api-url: 'https://zekt.example'}}"
CURL = 'curl --data-binary @body "$ZEKT_API_URL/api/event-delivery/confirm"'


def confirming(
    step: str, *, top: str = "", job: str = "", may: str = "{id-token: write}"
) -> tuple[Confirming, ...]:
    """What is found of a job with this step: it stands in line 6."""
    text = f"{ON}permissions: {may}\n{top}\njobs:\n  a: {{steps: [\n    {step}], {job}}}\n"
    return workflow(text).confirming


@pytest.mark.parametrize(
    "uses",
    [
        "A/zekt/action@v1",
        "A/zekt/action@5f1c0a9b3e7d42688c1f7a06d2b94e35c8a1d0f7",
        "Fork/renamed/action@main",
        "A/copied@v2",
        "./action",
        "./.github/actions/zekt",
    ],
)
def test_the_action_is_known_by_what_it_is_given_wherever_it_lies(uses: str) -> None:
    (found,) = confirming(RECEIVE.replace("A/zekt/action@v1", uses))
    assert found == Confirming(6, may_ask=True, on_condition=False)


@pytest.mark.parametrize(
    ("step", "confirms"),
    [
        ("{uses: x, with: {Mode: ' receive ', ZEKT-API-URL: '${{ vars.ZEKT_API_URL }}'}}", True),
        ("{id: a, uses: x, with: {mode: receive, zekt-api-url: y, shield: true}}", True),
        ("{uses: x, with: {mode: send, zekt-api-url: y}}", False),
        ("{uses: x, with: {zekt-api-url: y}}", False),
        ("{uses: x, with: {mode: Receive, zekt-api-url: y}}", False),
        ("{uses: x, with: {mode: '${{ vars.MODE }}', zekt-api-url: y}}", False),
        ("{uses: x, with: {mode: receive}}", False),
        ("{uses: x, with: {mode: receive, zekt-api-url: ' '}}", False),
        ("{uses: x, with: {mode: [receive], zekt-api-url: y}}", False),
        ("{run: x, with: {mode: receive, zekt-api-url: y}}", False),
        ("{uses: x, with: receive}", False),
        ("uses", False),
        (f"{{run: '{CURL}'}}", True),
        (f"{{run: '{CURL.replace('confirm', 'complete')}'}}", True),
        (f'{{run: "token=$(ask)\\n  {CURL.replace(chr(34), chr(39))}"}}', True),
        (f"{{run: '# {CURL}'}}", False),
        (f"{{run: 'true # {CURL}'}}", False),
        (f"{{run: '{CURL.replace('confirm', 'confirmed')}'}}", False),
        ("{run: 'curl $ZEKT_API_URL/api/events/receive'}", False),
        (f"{{run: ['{CURL}']}}", False),
    ],
)
def test_the_steps_that_confirm(step: str, *, confirms: bool) -> None:
    assert bool(confirming(step)) == confirms


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        ("{id-token: write}", True),
        ("{contents: read, id-token: write}", True),
        ("write-all", True),
        ("read-all", False),
        ("{id-token: none}", False),
        ("{contents: write}", False),
        ("{}", False),
        ("[id-token]", False),
        ("", False),
    ],
)
def test_the_permissions_that_are_enough(permissions: str, *, may: bool) -> None:
    other = "{}" if may else "{id-token: write}"
    assert [one.may_ask for one in confirming(RECEIVE, may=permissions)] == [may]
    inside = confirming(RECEIVE, may=other, job=f"permissions: {permissions}")
    assert [one.may_ask for one in inside] == [may]


def test_githubs_default_permissions_have_no_token() -> None:
    (found,) = workflow(f"{ON}jobs: {{a: {{steps: [{RECEIVE}]}}}}\n").confirming
    assert not found.may_ask


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("if: github.event.client_payload.zekt.isReplay", [True]),
        ("if: '${{ always() }}'", [True]),
        ("if: falsehood", [True]),
        ("name: x", [False]),
        ("if: false", []),
        ("if: '${{ FALSE }}'", []),
    ],
)
def test_a_step_under_a_condition_counts_unless_it_never_holds(
    condition: str, found: list[bool]
) -> None:
    for step, job in ((f"{RECEIVE[:-1]}, {condition}}}", ""), (RECEIVE, condition)):
        assert [one.on_condition for one in confirming(step, job=job)] == found


def test_what_a_reusable_workflow_does_is_not_seen() -> None:
    text = (
        f"{ON}permissions: write-all\njobs:\n"
        "  a: {uses: ./.github/workflows/react.yml, with: {mode: receive, zekt-api-url: y}}\n"
    )
    assert workflow(text).confirming == ()


@pytest.mark.parametrize("example", ["consumer-receive", "consumer-durable"])
def test_the_examples_that_receive_confirm(example: str) -> None:
    raw = (EXAMPLES / f"{example}.yml").read_text(encoding="utf-8")
    (found,) = workflow(raw).confirming
    assert (found.may_ask, found.on_condition) == (True, False)
    assert raw.splitlines()[found.line - 1].strip() == "- name: Receive"


@pytest.mark.parametrize("example", ["consumer", "consumer-replay-safe"])
def test_the_examples_that_only_react_do_not(example: str) -> None:
    assert workflow((EXAMPLES / f"{example}.yml").read_text(encoding="utf-8")).confirming == ()


def test_a_step_that_aliases_repeat_is_told_once() -> None:
    text = (
        f"{ON}jobs:\n  a:\n    steps:\n      - &s {RECEIVE}\n      - *s\n"
        "  b: {permissions: write-all, steps: [*s]}\n"
    )
    assert [(one.line, one.may_ask) for one in workflow(text).confirming] == [(5, False), (5, True)]


PERMISSIONS = st.sampled_from(
    [None, {}, {"contents": "write"}, {"id-token": "write"}, "write-all", "read-all"]
)
STEP: dict[str, Any] = yaml.safe_load(RECEIVE)


def permitted(owner: dict[str, Any], permissions: Any) -> dict[str, Any]:
    return owner if permissions is None else owner | {"permissions": permissions}


@given(PERMISSIONS, st.lists(PERMISSIONS, min_size=1, max_size=4), st.integers(0, 3))
def test_a_job_may_ask_where_the_simulated_github_gives_a_token(
    own: Any, each: list[Any], before: int
) -> None:
    steps = [{"run": "make"}] * before + [STEP]
    of_jobs = {f"j{n}": permitted({"steps": steps}, one) for n, one in enumerate(each)}
    wanted = []
    for key, job in of_jobs.items():
        whole = permitted({"on": "repository_dispatch", "jobs": {key: job}}, own)
        wanted.append(files.may_have_token(yaml.safe_dump(whole)))
    whole = permitted({"on": "repository_dispatch", "jobs": of_jobs}, own)
    text = yaml.dump(whole, Dumper=_WithoutAliases, sort_keys=False)
    assert [one.may_ask for one in workflow(text).confirming] == wanted


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
