"""What is read in one workflow file: a table for each fact, and laws for any text at all."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.operations.workflow_texts import ON, PAYLOAD, script, workflow
from zekt_bot.operations.preflight.workflow_files import Dispatch, Unreadable, WorkflowFile, read


def unreadable(text: str | bytes) -> Unreadable:
    """Why a file was not read."""
    found = read(text if isinstance(text, bytes) else text.encode())
    assert isinstance(found, Unreadable), found
    return found


@pytest.mark.parametrize(
    ("on", "dispatch"),
    [
        ("on: repository_dispatch", Dispatch(1)),
        ('"on": repository_dispatch', Dispatch(1)),
        ("on: [push, repository_dispatch]", Dispatch(1)),
        ("on:\n- push\n- repository_dispatch", Dispatch(3)),
        ("on:\n  push:\n  repository_dispatch:", Dispatch(3)),
        ("on:\n  repository_dispatch: {}", Dispatch(2)),
        ("on:\n  repository_dispatch:\n    types:", Dispatch(2)),
        ("on:\n  repository_dispatch:\n    types: ~", Dispatch(2)),
        ("on:\n  repository_dispatch:\n    types: a", Dispatch(2, ("a",))),
        ("on:\n  repository_dispatch:\n    types: [a, 'b c']", Dispatch(2, ("a", "b c"))),
        ("on:\n  repository_dispatch:\n    types:\n      - a", Dispatch(2, ("a",))),
        ("on: {repository_dispatch: {types: [true, 1]}}", Dispatch(1, ("true", "1"))),
        ("on: push", None),
        ("on: [push]", None),
        ("on: {push: , pull_request: }", None),
        ("on:", None),
        ("name: x", None),
        ("- on", None),
        ("", None),
        ("{? [on] : repository_dispatch}", None),
    ],
)
def test_every_form_of_on_is_read(on: str, dispatch: Dispatch | None) -> None:
    assert workflow(on).dispatch == dispatch


def test_a_type_starts_what_names_it_or_names_none() -> None:
    assert Dispatch(1).starts_on("any")
    assert Dispatch(1, ("a",)).starts_on("a")
    assert not Dispatch(1, ("a",)).starts_on("b")


@pytest.mark.parametrize(
    ("line", "proves"),
    [
        (f"run-name: Deploy ${{{{ {PAYLOAD}.zekt.deliveryId }}}}", True),
        (f"run-name: '${{{{{PAYLOAD.upper()}.ZEKT.DELIVERYID}}}}'", True),
        ("run-name: ${{ github['event'].client_payload['zekt']['deliveryId'] }}", True),
        (f"run-name: ${{{{ {PAYLOAD}.zekt.deliveryId || github.ref }}}}", True),
        (f"run-name: ${{{{ {PAYLOAD}.zekt.eventId }}}}", False),
        (f"run-name: {PAYLOAD}.zekt.deliveryId", False),
        ("run-name: ${{ 'github.event.client_payload.zekt.deliveryId' }}", False),
        ("run-name: Deploy", False),
        ("run-name: [x]", False),
    ],
)
def test_the_run_name_that_proves_runs(line: str, *, proves: bool) -> None:
    found = workflow(f"{ON}{line}\n")
    assert (found.run_name, found.proves_runs) == (2, proves)
    assert workflow(ON).run_name is None


@pytest.mark.parametrize(
    ("group", "shared"),
    [
        ("deploy", True),
        ("${{ github.workflow }}-${{ github.ref }}", True),
        ("${{ github.ref || github.run_id }}", True),
        ("${{ github.sha }}", True),
        ("${{ github.event.action }}", True),
        ("${{ 'x' || github.run_id }}", True),
        (f"${{{{ {PAYLOAD}.zekt.sourceRepo }}}}", True),
        (f"${{{{ {PAYLOAD}.zekt.service.slug }}}}", True),
        (f"${{{{ {PAYLOAD}.zekt.workflow.headBranch }}}}", True),
        ("${{ github.run_id", True),
        ("deploy-${{ github.run_id }}", False),
        ("${{ GITHUB.RUN_NUMBER }}", False),
        ("${{ github['run_id'] }}", False),
        ("${{ github.head_ref || github.run_id }}", False),
        ("${{ github.event.pull_request.number || github.run_id }}", False),
        ("${{ inputs.x || github.run_id }}", False),
        ("${{ '' || github.run_id }}", False),
        ("${{ github.event_name == 'push' && github.ref || github.run_id }}", False),
        ("${{ (github.ref || github.run_id) }}", False),
        ("${{ format('{0}', github.run_id) }}", False),
        ("${{ needs.plan.outputs.key }}", False),
        (f"${{{{ {PAYLOAD}.zekt.deliveryId }}}}", False),
        (f"${{{{ {PAYLOAD}.zekt.workflow.runId }}}}", False),
        (f"${{{{ {PAYLOAD}.zekt.payload.environment }}}}", False),
        (f"${{{{ toJSON({PAYLOAD}.zekt) }}}}", False),
        (f"${{{{ {PAYLOAD}.other }}}}", False),
        ("${{ || }}", True),
    ],
)
@pytest.mark.parametrize("job", [None, "build"])
def test_a_group_that_all_runs_share(group: str, job: str | None, *, shared: bool) -> None:
    quoted = "'" + group.replace("'", "''") + "'"
    where = "" if job is None else "jobs:\n  build:\n    "
    for text in (
        f"{ON}{where}concurrency: {quoted}\n",
        f"{ON}{where}concurrency: {{group: {quoted}}}\n",
    ):
        found = [(one.name, one.job, one.cancels_running) for one in workflow(text).groups]
        assert found == ([(group, job, False)] if shared else [])


@pytest.mark.parametrize(
    ("how", "cancels"),
    [
        ("cancel-in-progress: true", True),
        ("cancel-in-progress: false", False),
        ("cancel-in-progress: ${{ github.ref != 'x' }}", True),
        ("queue: single", False),
        ("queue: max", None),
    ],
)
def test_what_becomes_of_the_runs_of_a_shared_group(how: str, *, cancels: bool | None) -> None:
    found = workflow(f"{ON}concurrency:\n  group: deploy\n  {how}\n").groups
    assert [(one.line, one.cancels_running) for one in found] == (
        [] if cancels is None else [(2, cancels)]
    )


def test_concurrency_without_a_group_is_none() -> None:
    assert workflow(f"{ON}concurrency: [a]\n").groups == ()
    assert workflow(f"{ON}concurrency: {{cancel-in-progress: [a]}}\n").groups == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("on: [push", 2),
        ("on: push\n\tjobs:", 2),
        ("a: b: c", 1),
        ("on: push\n---\non: push\n", 2),
        ("on: *nobody", 1),
        ("on: push\nx: \x00", None),
        (b"on: push\n\xff", 2),
    ],
)
def test_broken_yaml_is_told_with_its_line(text: str | bytes, line: int | None) -> None:
    found = unreadable(text)
    assert (found.word, found.line) == ("broken_yaml", line)
    assert found.reason


def bomb(levels: int, wide: int) -> str:
    """Lists of aliases of lists of aliases …"""
    names = [f"*a{level}" for level in range(levels)]
    lines = [
        f"b{level}: &a{level + 1} [{', '.join([name] * wide)}]" for level, name in enumerate(names)
    ]
    return "\n".join(["a: &a0 [x]", *lines])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * (512 * 1024 + 1), "512 KB"),
        ("[\n" * 100_000, "levels"),
        ("{a: " * 100_000, "levels"),
        ("- " * 100_000, "levels"),
        ("[" + "x, " * 100_000, "nodes"),
        (bomb(30, 9), "aliases"),
        (
            f"{ON}jobs:\n  a: &a\n    steps: [{'x, ' * 9000}]\n"
            + "".join(f"  b{n}: *a\n" for n in range(150)),
            "aliases make",
        ),
    ],
)
@pytest.mark.timeout(30)  # read, some of it would take for ever
def test_what_would_be_long_work_is_refused(text: str, reason: str) -> None:
    found = unreadable(text)
    assert (found.word, found.line) == ("too_large", None)
    assert reason in found.reason


@pytest.mark.parametrize(
    "text",
    [
        ON + "x: &x [*x]\njobs: {a: &b {steps: *b}}\n",
        "&on on: &all {repository_dispatch: *all}",
        script("${{" * 100_000),
        script("${{ github.event.client_payload }}" * 12_000),
        script("${{ '" * 80_000),
        script("${{ " + "github." * 60_000 + "}}"),
        script("${{ " + "(" * 400_000 + "}}"),
        f"{ON}concurrency: {'${{ a || ' * 40_000}\n",
        "[" * 500_000,
        f"{ON}jobs:\n  a:\n    steps:\n      - &s {{env: {{A: '{'${{ github }}' * 30_000}'}}}}\n"
        + "      - *s\n" * 150,
        '{"on": "repository_dispatch", "jobs": {"a": {"steps": ['
        + ", ".join(['{"run": "${{github}}${{' + "a[" * 20 + '}}"}'] * 6_500)
        + "]}}}",
        ON + "#" + "x" * 500_000,
        ON + "x: '" + "y\n\n" * 100_000 + "'",
    ],
)
@pytest.mark.timeout(30)
def test_hostile_files_are_answered_soon(text: str) -> None:
    read(text.encode())


WORDS = """on: repository_dispatch types: jobs: steps: run: concurrency: group: run-name: ${{ }}
github .event ['client_payload'] .* [ ] { } ' " &a *a | > : , - || é"""
PIECES = st.sampled_from([*WORDS.split(), "\n", " ", "  ", "\t", "\x85", ": "])
TEXTS = st.text() | st.lists(PIECES).map("".join)


@given(st.binary() | TEXTS.map(str.encode))
def test_any_bytes_give_an_answer(raw: bytes) -> None:
    found = read(raw)
    if isinstance(found, WorkflowFile):
        last = raw.decode().count("\n") + 2
        for use in found.injections:
            assert 1 <= use.line <= last


# A half of a pair is no character: YAML has no way to write one.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(texts, max_size=5))
def test_types_come_out_as_they_were_written(types: list[str]) -> None:
    raw = yaml.safe_dump({"on": {"repository_dispatch": {"types": types}}}).encode()
    found = read(raw)
    assert isinstance(found, WorkflowFile)
    assert found.dispatch is not None
    if types not in ([""], ["~"], ["null"]):
        assert found.dispatch.types == tuple(types)
