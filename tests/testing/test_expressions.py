"""A run's title from `run-name`, as GitHub fills it; what is not known is refused at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from zekt_bot.testing import expressions

if TYPE_CHECKING:
    from tests.testing.conftest import Scene

CONTEXT: dict[str, Any] = {
    "github": {
        "actor": "zekt[bot]",
        "event": {
            "action": "build",
            "client_payload": {
                "zekt": {"deliveryId": "dlv_7", "jobs": [{"name": "a"}], "isReplay": False},
                "n": 1.0,
                "nothing": None,
                "empty": {},
            },
        },
    }
}
PAYLOAD = "github.event.client_payload"


@pytest.mark.parametrize(
    ("run_name", "title"),
    [
        ("plain", "plain"),
        ("For ${{ github.actor }}", "For zekt[bot]"),
        (f"${{{{{PAYLOAD}.zekt.deliveryId}}}}", "dlv_7"),
        ("${{ GITHUB.Event.CLIENT_PAYLOAD.zekt.deliveryid }}", "dlv_7"),
        ("${{ github['event']['client_payload'].zekt['deliveryId'] }}", "dlv_7"),
        (f"${{{{ {PAYLOAD}.zekt.jobs[0].name }}}}", "a"),
        (f"${{{{ {PAYLOAD}.zekt.jobs[1].name }}}}|", "|"),
        (f"${{{{ {PAYLOAD}.gone.away || 'it''s new' }}}}", "it's new"),
        (f"${{{{ {PAYLOAD}.nothing || {PAYLOAD}.zekt.isReplay || github.actor }}}}", "zekt[bot]"),
        (f"${{{{ {PAYLOAD}.zekt.isReplay && 'again' || 'first' }}}}", "first"),
        (f"${{{{ ({PAYLOAD}.empty || 'x') }}}}", "Object"),
        (f"${{{{ {PAYLOAD}.zekt.jobs }}}}", "Array"),
        (f"${{{{ {PAYLOAD}.n }}}} ${{{{ true }}}} ${{{{ null }}}} ${{{{ -2.5 }}}}", "1 true  -2.5"),
        (
            "${{ format('{0} by {1} {{}}', github.event.action, github.actor) }}",
            "build by zekt[bot] {}",
        ),
        (f"${{{{ toJSON({PAYLOAD}.zekt.jobs) }}}}", '[\n  {\n    "name": "a"\n  }\n]'),
        (f"${{{{ tojson({PAYLOAD}.nothing) }}}}", "null"),
    ],
)
def test_a_title_is_filled(run_name: str, title: str) -> None:
    expressions.check(run_name)
    assert expressions.title(run_name, CONTEXT) == title


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("inputs.name", "inputs"),
        ("github", "github"),
        ("github.token", "github.token"),
        ("github.event.action == 'x'", "== 'x'"),
        ("!github.actor", "!github.actor"),
        ("fromJSON('1')", "fromJSON()"),
        ("toJSON(1, 2)", "toJSON()"),
        ("github.event.*.name", "*.name"),
        ("github.event.client_payload[0", "the end"),
        ("github.actor github.actor", "github"),
        ('"double"', '"double"'),
        ("", "the end"),
        ("format('{0} {1}', 'a')", "no value for {1}"),
    ],
)
def test_what_is_not_known_is_refused(expression: str, named: str) -> None:
    with pytest.raises(ValueError, match="run-name: ") as refused:
        expressions.check(f"x ${{{{ {expression} }}}}")
    assert named in str(refused.value)


async def test_a_workflow_whose_title_is_not_known_is_not_added(scene: Scene) -> None:
    text = "run-name: ${{ inputs.name }}\non: repository_dispatch\n"
    for options in ({"run_name": "${{ inputs.name }}"}, {"text": text}, {"run_name": "${{ open"}):
        with pytest.raises(ValueError, match="run-name: "):
            scene.github.add_workflow(scene.api, "consume.yml", **options)
    assert scene.api.workflows == []


async def test_all_that_is_known_is_filled_by_a_dispatch(scene: Scene) -> None:
    names = sorted(expressions.KNOWN - {"event"})
    scene.github.add_workflow(
        scene.api,
        "consume.yml",
        on_dispatch_types=["*"],
        run_name="|".join(f"${{{{ github.{name} }}}}" for name in names),
    )
    token = await scene.client.token(scene.installation)
    await scene.client.dispatch(token, scene.api.full_name)
    run = await scene.github.wait_for_run(scene.api)
    assert all(run.display_title.split("|"))
