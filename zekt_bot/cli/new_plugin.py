"""`zekt new-plugin`: a folder with a plugin that works, and its tests."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path

import click

from zekt_bot.errors import InvalidInput
from zekt_bot.plugins import BUILT_IN

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
description = "A plugin of Zekt."
requires-python = ">=3.11,<3.14"
# What you publish needs a licence that is compatible with Zekt's, the GPL-3.0-or-later.
license = "GPL-3.0-or-later"
dependencies = ["zekt-bot"]

[project.optional-dependencies]
test = ["zekt-bot[testing]"]

# This is how Zekt finds it once it is installed: "name" = "module".
[project.entry-points.zekt]
{module} = "{module}"

[tool.hatch.build.targets.wheel]
include = ["{module}.py"]

[tool.pytest.ini_options]
addopts = ["-p", "no:anyio"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""

_MODULE = '''\
"""{name}: keeps runs of branches that begin with `wip/` at home.

Every hook is described in zekt_bot.hookspecs. Take only the arguments that you need.
"""

from __future__ import annotations

from zekt_bot import Run, hookimpl


@hookimpl
def zekt_block_reason(subject: object) -> str | None:
    """A reason is a machine word; it blocks, and `zekt events show` tells it."""
    if isinstance(subject, Run) and (subject.facts.head_branch or "").startswith("wip/"):
        return "work_in_progress"
    return None
'''

_CONFTEST = '''\
"""A whole Zekt with this plugin in it, between a simulated GitHub and a database."""

from __future__ import annotations

import pytest

import {module}

pytest_plugins = ["zekt_bot.testing.fixtures"]


@pytest.fixture
def zekt_plugins():
    return [{module}]
'''

_TEST = '''\
"""What {name} does to real runs."""

from __future__ import annotations


async def test_work_in_progress_stays_at_home(zekt):
    run = await zekt.finish_run("build", head_branch="wip/idea")
    event = await zekt.event(run)
    assert event["blocked_reason"] == "work_in_progress"
    assert zekt.github.dispatches == []


async def test_the_rest_reaches_the_consumer(zekt):
    await zekt.finish_run("build", message={{"version": "2.4.0"}})
    (dispatch,) = await zekt.dispatches()
    assert dispatch.client_payload["zekt"]["payload"] == {{"version": "2.4.0"}}
'''

_README = """\
# {name}

A plugin of Zekt. It keeps runs of branches that begin with `wip/` at home.

    pip install -e '.[test]'
    python -m pytest

Installed beside Zekt, it is loaded at the next start; `zekt plugins` shows it.
"""


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder to write it into; the present one unless told.",
)
def new_plugin(name: str, into: Path) -> None:
    """Write a plugin that works, with its tests.

    It is written into the new folder NAME, which is its package's name, such as zekt-quiet-hours.
    """
    module = _module_of(name)
    folder = into / name
    if folder.exists():
        raise InvalidInput(f"{folder} is there already: choose another name.")
    folder.mkdir(parents=True)
    for path, text in (
        ("pyproject.toml", _PYPROJECT),
        (f"{module}.py", _MODULE),
        ("conftest.py", _CONFTEST),
        (f"test_{module}.py", _TEST),
        ("README.md", _README),
    ):
        (folder / path).write_text(text.format(name=name, module=module), encoding="utf-8")
    click.echo(f"{folder} is ready. Try it:\n\n  cd {folder}\n  python -m pytest\n")


def _is_there(module: str) -> bool:
    """Whether one imports it, be it from here, where a folder may lie that is none."""
    found = importlib.util.find_spec(module)
    return found is not None and found.origin is not None


def _module_of(name: str) -> str:
    """The module of a plugin of this name.

    Raises:
        InvalidInput: it cannot have this name.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name for a plugin: use small letters, digits and single hyphens, such "
            "as zekt-quiet-hours."
        )
    module = name.replace("-", "_")
    if module in {*BUILT_IN, "zekt", "conftest"} or keyword.iskeyword(module) or _is_there(module):
        raise InvalidInput(f"{name} is taken: choose another name, such as zekt-{name}.")
    return module
