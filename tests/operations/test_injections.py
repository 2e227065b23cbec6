"""Where a workflow file puts another organization's text into a script."""

from __future__ import annotations

import pytest

from tests.operations.workflow_texts import ON, PAYLOAD, script, workflow
from zekt_bot.operations.preflight import workflow_files


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
@pytest.mark.parametrize("mode", ["mode: receive", "Mode: ' receive'"])
def test_what_the_action_received_is_the_payload_too(
    expression: str, mode: str, *, found: bool
) -> None:
    text = (
        f"{ON}jobs:\n  a:\n    steps:\n"
        f"      - {{id: Zekt, uses: ACME/zekt/action@v1, with: {{{mode}}}}}\n"
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
