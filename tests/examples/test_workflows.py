"""The example workflows are sound, safe, and fit what Zekt sends."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from zekt_bot.domain.events import DEFAULT_EVENT_TYPE
from zekt_bot.operations.preflight import workflow_files

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / "examples/workflows").glob("*.yml"))
CONSUMER = ROOT / "examples/workflows/consumer.yml"
PAYLOAD = "github.event.client_payload.zekt"


def read(path: Path) -> dict[str, Any]:
    """The workflow; YAML takes its key `on` for True."""
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else str(key): value for key, value in found.items()}


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def program(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / words[0]), *words[1:]]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_there_is_one_for_each_side() -> None:
    assert [path.stem for path in WORKFLOWS] == ["consumer", "provider"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_a_linter_finds_nothing(path: Path) -> None:
    done = program("actionlint", "-no-color", "-config-file", "/dev/null", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_a_workflow_says_that_anybody_may_take_it_and_asks_for_little(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: 0BSD\n")
    assert set(read(path)["permissions"].items()) <= {("contents", "read")}


def test_no_value_from_outside_stands_in_a_script() -> None:
    scripts = [step["run"] for path in WORKFLOWS for step in steps(path) if "run" in step]
    assert len(scripts) == len(WORKFLOWS)
    assert not [script for script in scripts if "${{" in script]
    given = [value for step in steps(CONSUMER) for value in step.get("env", {}).values()]
    assert any(PAYLOAD in value for value in given)


def test_the_consumer_listens_to_what_a_service_sends_by_default() -> None:
    assert read(CONSUMER)["on"] == {"repository_dispatch": {"types": [DEFAULT_EVENT_TYPE]}}


def test_the_consumers_runs_are_known_by_their_delivery_and_handled_once() -> None:
    delivery = f"${{{{ {PAYLOAD}.deliveryId }}}}"
    consumer = read(CONSUMER)
    assert delivery in consumer["run-name"]
    # Only the same delivery shares the group, so that no other one is dropped.
    assert consumer["concurrency"] == {"group": f"zekt-{delivery}", "cancel-in-progress": False}
    keys = {step["with"]["key"] for step in steps(CONSUMER) if "uses" in step}
    assert keys == {f"zekt-{delivery}"}
    guarded = [step for step in steps(CONSUMER) if step.get("id") != "mark"]
    assert all(step["if"] == "steps.mark.outputs.cache-hit != 'true'" for step in guarded)


def test_our_own_check_of_a_consumer_finds_nothing_to_mend() -> None:
    found = workflow_files.read(CONSUMER.read_bytes())
    assert isinstance(found, workflow_files.WorkflowFile)
    assert found.dispatch
    assert found.dispatch.starts_on(DEFAULT_EVENT_TYPE)
    assert found.proves_runs
    assert not found.groups
    assert not found.injections


def test_every_field_that_is_used_is_one_that_is_sent() -> None:
    page = (ROOT / "docs/reference/payload.md").read_text(encoding="utf-8")
    used = set(re.findall(rf"{PAYLOAD}((?:\.\w+)+)", CONSUMER.read_text(encoding="utf-8")))
    assert used
    assert not [name for name in used if f"`zekt{name}`" not in page]
