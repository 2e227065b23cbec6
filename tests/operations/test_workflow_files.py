"""What is read in one workflow file: a table for each fact, and laws for any text at all."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.operations.preflight import workflow_files
from zekt_bot.operations.preflight.workflow_files import Dispatch, Unreadable, WorkflowFile, read

ON = "on: repository_dispatch\n"
PAYLOAD = "github.event.client_payload"


def workflow(text: str) -> WorkflowFile:
    """What a file says, which must be readable."""
    found = read(text.encode())
    assert isinstance(found, WorkflowFile), found
    return found


def unreadable(text: str | bytes) -> Unreadable:
    """Why a file was not read."""
    found = read(text if isinstance(text, bytes) else text.encode())
    assert isinstance(found, Unreadable), found
    return found


def script(code: str, *, key: str = "run") -> str:
    """A workflow whose one step runs this code, from line 6 on."""
    body = "\n".join(f"          {line}" for line in code.splitlines())
    return f"{ON}jobs:\n  build:\n    steps:\n      - {key}: |\n{body}\n"


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
    "expression",
    [
        f"{PAYLOAD}.zekt.payload.version",
        PAYLOAD,
        "GitHub.Event.Client_Payload",
        "github . event . client_payload . x",
        "github['event']['client_payload'].x",
        "github[ 'event' ].client_payload",
        "github.event[env.NAME]",
        "github.event.*.version",
        "github[format('e{0}', 'vent')].client_payload",
        "toJSON(github.event)",
        "toJson( github )",
        f"format('{{0}} }}}}', {PAYLOAD}.x)",
        f"fromJSON(toJSON({PAYLOAD})).x",
        "(github).event",
    ],
)
@pytest.mark.parametrize("key", ["run", "script"])
def test_the_payload_in_a_script_is_an_injection(expression: str, key: str) -> None:
    code = f"echo begin\n\necho ${{{{ {expression} }}}} end\necho ${{{{github.ref}}}}"
    text = script(code)
    if key == "script":
        indented = code.replace("\n", "\n            ")
        text = (
            f"{ON}jobs:\n  build:\n    steps:\n      - uses: Actions/GitHub-Script@v7\n"
            f"        with:\n          script: |\n            {indented}\n"
        )
    (use,) = workflow(text).injections
    assert use.line == (8 if key == "run" else 10)
    assert use.expression == f"${{{{ {expression} }}}}"


@pytest.mark.parametrize(
    "expression",
    [
        "github.event.action",
        "github.event_name",
        "github.run_id",
        "env.GITHUB",
        "secrets.github.event",
        "steps.github.outputs.event",
        "'github.event.client_payload'",
        "'it''s github.event.client_payload'",
        "inputs['github']",
        "3.event",
    ],
)
def test_what_is_no_injection(expression: str) -> None:
    assert workflow(script(f"echo ${{{{ {expression} }}}}")).injections == ()


def test_the_payload_outside_of_scripts_is_none() -> None:
    use = f"${{{{ {PAYLOAD}.x }}}}"
    text = (
        f"{ON}env: {{A: '{use}'}}\njobs:\n  a:\n    if: '{use}'\n    steps:\n"
        f"      - run: make\n        env: {{A: '{use}'}}\n"
        f"      - uses: other/action@v1\n        with: {{script: '{use}'}}\n"
        f"      - uses: actions/github-script@v7\n        with: {{input: '{use}', script: [a]}}\n"
        f"      - {use}\n  b: {{steps: x}}\n  c: x\n"
    )
    assert workflow(text).injections == ()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("run: echo ${{ U }}", [5]),
        ("run: 'echo ${{ U }}'", [5]),
        ('run: "echo ${{\n          U }}"', [5]),
        ("run: >-\n          echo\n          ${{ U }}\n\n          ${{ U }}", [7, 9]),
        ("run: |\n          a ${{ U }} ${{ U }}\n          ${{ U }}", [6, 6, 7]),
        ('run: "\\x24{{ U }} \\n ${{ U }}"', [5, 5]),
        ("run: >\n\n\n          ${{ U }}", [8]),
    ],
)
def test_the_line_is_that_of_the_file(text: str, lines: list[int]) -> None:
    written = text.replace("U", f"{PAYLOAD}.x")
    found = workflow(f"{ON}jobs:\n  build:\n    steps:\n      - {written}\n").injections
    assert [use.line for use in found] == lines


@pytest.mark.parametrize("where", ["workflow", "job", "step"])
@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("env.VERSION", True),
        ("env['version']", True),
        ("env[github.job]", True),
        ("toJSON(env)", True),
        ("env.OTHER", False),
        ("steps.env.VERSION", False),
    ],
)
def test_a_variable_of_the_payload_is_code_again_in_an_expression(
    where: str, expression: str, *, found: bool
) -> None:
    env = (
        f"env: {{VERSION: 'v${{{{ {PAYLOAD}.x }}}}', OTHER: '${{{{ github.ref }}}}', LIST: [a]}}\n"
    )
    given = {each: env if each == where else "" for each in ("workflow", "job", "step")}
    text = (
        f"{ON}{given['workflow']}jobs:\n  a:\n    {given['job']}\n    steps:\n"
        f"      - run: echo $VERSION ${{{{ {expression} }}}}\n        {given['step']}\n"
    )
    assert bool(workflow(text).injections) is found


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("steps.zekt.outputs.payload", True),
        ("fromJSON(Steps.ZEKT['outputs'].payload).version", True),
        ("steps.*.outputs.source-repo", True),
        ("toJSON(steps)", True),
        ("env.VERSION", True),
        ("steps.zekt.outputs.payload-file", False),
        ("steps.zekt.outputs.delivery-id", False),
        ("steps.zekt.outcome", False),
        ("steps.other.outputs.payload", False),
        ("steps.sent.outputs.payload", False),
    ],
)
def test_what_the_action_received_is_the_payload_too(expression: str, *, found: bool) -> None:
    text = (
        f"{ON}jobs:\n  a:\n    steps:\n"
        "      - {id: Zekt, uses: ACME/zekt/action@v1, with: {mode: receive}}\n"
        "      - {id: sent, uses: ACME/zekt/action@v1, with: {mode: send}}\n"
        "      - {id: other, uses: ACME/other@v1, with: [mode]}\n"
        f"      - run: echo ${{{{ {expression} }}}}\n"
        "        env: {VERSION: '${{ fromJSON(steps.zekt.outputs.payload).version }}'}\n"
    )
    assert bool(workflow(text).injections) is found


def test_a_variable_that_holds_nothing_of_the_payload_is_harmless() -> None:
    assert workflow(script("echo ${{ env.VERSION }} ${{ toJSON(env) }}")).injections == ()


def test_only_so_many_injections_are_told() -> None:
    code = "\n".join(f"echo ${{{{ {PAYLOAD}.x }}}}" for _ in range(200))
    assert len(workflow(script(code)).injections) == workflow_files.MOST_USES


def test_an_aliased_script_is_told_once() -> None:
    text = (
        f"{ON}jobs:\n  a: &job\n    steps:\n      - run: echo ${{{{ {PAYLOAD} }}}}\n"
        "  b: *job\n  c: *job\n"
    )
    assert [use.line for use in workflow(text).injections] == [5]


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
