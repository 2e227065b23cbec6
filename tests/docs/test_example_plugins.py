"""The plugins in `examples/plugins/` pass their own tests, and are packages with a licence."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.own_pytest import run

PLUGINS = sorted((Path(__file__).parents[2] / "examples/plugins").glob("*/pyproject.toml"))


@pytest.mark.parametrize("project", PLUGINS, ids=lambda path: path.parent.name)
async def test_an_example_passes_its_own_tests(project: Path) -> None:
    assert " passed" in await run(project.parent)


@pytest.mark.parametrize("project", PLUGINS, ids=lambda path: path.parent.name)
def test_an_example_can_be_installed_and_copied(project: Path) -> None:
    told = tomllib.loads(project.read_text())["project"]
    assert told["name"] == project.parent.name
    assert told["license"] == "0BSD"
    assert list(told["entry-points"]) == ["zekt"]
    for source in (project, *project.parent.glob("*.py")):
        assert source.read_text().startswith("# SPDX-License-Identifier: 0BSD\n")
