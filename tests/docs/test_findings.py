"""The table of findings is the code's, and the example is a workflow without one."""

from __future__ import annotations

from tests.docs.pages import ROOT, blocks, page, section, table
from zekt_bot.operations.preflight.findings import LEVELS, RUN_NAME, WORDS
from zekt_bot.operations.preflight.workflow_files import WorkflowFile, read

PAGE = "how-to/check-a-subscription.md"


def test_every_finding_is_told_and_no_other() -> None:
    rows = table(section(page(PAGE), "What is found"))
    assert sorted(row[0] for row in rows) == list(WORDS)
    levels = [row[1].split(";")[0] for row in rows]
    assert levels == sorted(levels, key=LEVELS.index)
    assert all(row[2] and (row[3] or row[1] == "ok") for row in rows)


def test_the_line_to_add_is_the_one_that_is_told() -> None:
    assert blocks(page(PAGE), "yaml") == [f"{RUN_NAME}\n"]


def test_the_example_is_well() -> None:
    found = read((ROOT / "examples" / "workflows" / "consumer.yml").read_bytes())
    assert isinstance(found, WorkflowFile)
    assert found.dispatch is not None
    assert (found.proves_runs, found.groups, found.injections) == (True, (), ())
