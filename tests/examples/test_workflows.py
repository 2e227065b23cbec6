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
CONSUMERS = [path for path in WORKFLOWS if path.stem.startswith("consumer")]
ONCE = [path for path in CONSUMERS if path.stem in {"consumer-replay-safe", "consumer-durable"}]
PAYLOAD = "github.event.client_payload.zekt"


def read(path: Path) -> dict[str, Any]:
    """The workflow; YAML takes its key `on` for True."""
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else str(key): value for key, value in found.items()}


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def of_ours(path: Path) -> list[dict[str, Any]]:
    """The steps that are the Zekt Action."""
    return [step for step in steps(path) if step.get("uses", "").startswith("ACME/zekt/action@")]


def test_a_linter_finds_nothing() -> None:
    words = [str(Path(sys.executable).parent / "actionlint"), "-no-color", "-config-file"]
    words += ["/dev/null", *map(str, WORKFLOWS)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_a_workflow_says_that_anybody_may_take_it_and_asks_for_little(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# SPDX-License-Identifier: 0BSD\n")
    assert "default branch" in text
    workflow = read(path)
    assert set(workflow["permissions"].items()) <= {("contents", "read")}
    for job in workflow["jobs"].values():
        calls = any(step in of_ours(path) or "curl" in step.get("run", "") for step in job["steps"])
        assert job.get("permissions") == ({"id-token": "write"} if calls else None)
        assert "timeout-minutes" in job


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_no_value_from_outside_stands_in_a_script(path: Path) -> None:
    assert not [step["run"] for step in steps(path) if "${{" in step.get("run", "")]


@pytest.mark.parametrize("path", CONSUMERS, ids=lambda path: str(path.stem))
def test_no_message_goes_into_the_log(path: Path) -> None:
    """GitHub's runner looks for `##[command]` in all of each line that a step prints."""
    lines = [line for step in steps(path) for line in step.get("run", "").splitlines()]
    of_message = [line for line in lines if re.search(r"\$(MESSAGE|PAYLOAD_FILE)", line)]
    assert of_message
    kept = re.compile(r"""(wc -c|cksum) < "\$PAYLOAD_FILE"|"\$MESSAGE" > message\.json""")
    assert all(kept.search(line) for line in of_message)


def test_without_the_permission_curl_is_not_even_started() -> None:
    (step,) = steps(ROOT / "examples/workflows/provider-curl.yml")
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    assert step["shell"] == words[0]
    done = subprocess.run(words, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the job needs id-token: write" in done.stderr
    assert done.stdout == ""


def test_the_action_has_each_input_and_output_that_is_used() -> None:
    action = yaml.safe_load((ROOT / "action/action.yml").read_text(encoding="utf-8"))
    used = [path for path in WORKFLOWS if of_ours(path)]
    assert len(used) == 5
    for path in used:
        for step in of_ours(path):
            assert set(step["with"]) <= set(action["inputs"])
            assert step["with"]["zekt-api-url"] == "${{ vars.ZEKT_API_URL }}"
        text = path.read_text(encoding="utf-8")
        assert "variable ZEKT_API_URL" in text
        assert set(re.findall(r"steps\.zekt\.outputs\.([\w-]+)", text)) <= set(action["outputs"])


@pytest.mark.parametrize("path", CONSUMERS, ids=lambda path: str(path.stem))
def test_a_consumers_runs_are_known_by_their_delivery(path: Path) -> None:
    assert f"${{{{ {PAYLOAD}.deliveryId }}}}" in read(path)["run-name"]
    found = workflow_files.read(path.read_bytes())
    assert isinstance(found, workflow_files.WorkflowFile)
    assert found.dispatch
    assert found.dispatch.starts_on(
        DEFAULT_EVENT_TYPE if not of_ours(path) else "release-published"
    )
    assert found.proves_runs
    assert not found.groups
    assert not found.injections


@pytest.mark.parametrize("path", ONCE, ids=lambda path: str(path.stem))
def test_a_delivery_is_handled_once(path: Path) -> None:
    delivery = f"${{{{ {PAYLOAD}.deliveryId }}}}"
    # Only the same delivery shares the group, so that no other one is dropped; and of the workflows
    # in one repository each has a mark of its own, or the second would find that of the first.
    word = {"consumer-durable": "zekt-durable", "consumer-replay-safe": "zekt-once"}[path.stem]
    assert read(path)["concurrency"] == {"group": f"{word}-{delivery}", "cancel-in-progress": False}
    keys = {step["with"]["key"] for step in steps(path) if "key" in step.get("with", {})}
    received = "${{ steps.zekt.outputs.delivery-id }}"
    assert keys == {f"{word}-{received if of_ours(path) else delivery}"}
    guarded = [step for step in steps(path) if step.get("id") not in {"mark", "zekt"}]
    assert all(step["if"] == "steps.mark.outputs.cache-hit != 'true'" for step in guarded)


def test_the_docs_list_each_of_them() -> None:
    page = (ROOT / "docs/how-to/start-from-an-example.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([\w-]+)\.yml\]\(", page, re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in WORKFLOWS)


def test_every_field_that_is_used_is_one_that_is_sent() -> None:
    page = (ROOT / "docs/reference/payload.md").read_text(encoding="utf-8")
    for path in CONSUMERS:
        used = set(re.findall(rf"{PAYLOAD}((?:\.\w+)+)", path.read_text(encoding="utf-8")))
        assert used
        assert not [name for name in used if f"`zekt{name}`" not in page]
