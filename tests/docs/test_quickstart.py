"""The quickstart, word for word: what needs no page of GitHub's is run, on the simulator."""

from __future__ import annotations

import re
import shlex
from string import Template
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.acceptance.server import stage
from tests.docs.pages import ROOT, blocks, page, section
from tests.tooling.test_deployment import EXAMPLE
from zekt_bot.cli import environment, zekt

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.server import Stage

PAGE = "quickstart.md"
WORKFLOW = ".github/workflows/release.yml"
REACTING = ".github/workflows/on-release.yml"


def commands(title: str) -> list[str]:
    """The lines of a section's commands that are run here."""
    return [
        line for block in blocks(section(page(PAGE), title), "bash") for line in block.split("\n")
    ]


def workflow(name: str) -> str:
    return (ROOT / f"examples/workflows/{name}.yml").read_text(encoding="utf-8")


class Reader:
    """Follows the page with two repositories of their own, and its own terminal."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.variables: dict[str, str] = {}
        self.said: list[str] = []

    async def follow(self, title: str) -> None:
        """Type what a section says."""
        for line in filter(None, commands(title)):
            name, assigned, value = line.partition("=")
            if assigned and name.isupper():
                self.variables[name] = value
                continue
            words = shlex.split(Template(line).substitute(self.variables))
            assert words.pop(0) == "zekt"
            self.said.append(await self.stage.zekt.command(*words))


async def test_a_reader_gets_from_two_repositories_to_a_run_of_the_consumer(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with stage(sqlite_url, tmp_path) as found:
        github = found.github
        acme, umbrella = github.account("acme"), github.account("umbrella")
        provider, consumer = (
            github.repository(acme, "widget"),
            github.repository(umbrella, "deploy"),
        )
        github.add_workflow(provider, WORKFLOW, "Release")
        listens = yaml.load(workflow("consumer"), yaml.BaseLoader)["on"]["repository_dispatch"]
        github.add_workflow(consumer, REACTING, on_dispatch_types=listens["types"])
        for account in (acme, umbrella):
            await github.install(found.app, account)
        reader = Reader(found)

        await reader.follow("7. A service and its subscriber")
        await (await github.start_run(provider, WORKFLOW)).complete("success")
        (delivery,) = await found.zekt.until_deliveries(
            lambda rows: [row["state"] for row in rows] == ["dispatched"]
        )
        reader.variables["DELIVERY"] = delivery["id"]
        await reader.follow("8. A run")

    assert "Release" in reader.said[-3]
    assert "dispatched" in reader.said[-2]
    assert delivery["id"] in reader.said[-1]
    assert github.runs[-1].repository is consumer
    assert github.runs[-1].workflow.path == REACTING


def test_every_command_is_one_that_there_is() -> None:
    told = re.findall(r"^zekt (\w+)", page(PAGE), re.MULTILINE)

    assert told
    assert set(told) <= set(zekt.commands)


def test_it_fills_in_what_the_example_of_a_env_asks_for() -> None:
    asked = environment.read(EXAMPLE, {}).variables
    ours = [name for name in asked if name.startswith(("ZEKT_SECRET", "ZEKT_ORCHESTRATOR"))]

    assert not [name for name in ours if f"`{name}`" not in page(PAGE)]


def test_the_app_has_the_manifests_permissions_and_events() -> None:
    manifest = yaml.safe_load((ROOT / "app.yml").read_text(encoding="utf-8"))["orchestrator"]
    told = section(page(PAGE), "3. The orchestration App")
    form = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", told, re.MULTILINE))
    spoken = {"read": "read-only", "write": "read and write"}
    for name, access in manifest["default_permissions"].items():
        assert f"{name.capitalize()}: {spoken[access]}." in form["Repository permissions"]
    events = {e.lower().replace(" ", "_") for e in form["Subscribe to events"].split(", ")}
    assert events == set(manifest["default_events"])


@pytest.mark.parametrize("name", ["provider", "consumer"])
def test_the_workflows_go_where_their_own_words_say(name: str) -> None:
    assert f"{name}.yml" in section(page(PAGE), "6. Two workflows")
    assert "default branch" in workflow(name)
