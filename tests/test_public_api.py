"""The public API: every name resolves, lazily, to what type checkers see."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import zekt_bot

FRAMEWORKS = {"aiohttp", "sqlalchemy", "pluggy", "structlog", "octomachinery", "gidgethub"}


def typed() -> dict[str, str]:
    """The names that type checkers see, each with its module."""
    tree = ast.parse(Path(zekt_bot.__file__).read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: node.module or ""
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def loaded_after(code: str) -> set[str]:
    """The frameworks that a fresh interpreter has loaded after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return FRAMEWORKS & {name.partition(".")[0] for name in done.stdout.split()}


def test_type_checkers_see_every_exported_name_and_no_other() -> None:
    assert sorted(typed()) == sorted(zekt_bot.__all__)
    assert len(set(zekt_bot.__all__)) == len(zekt_bot.__all__)


@pytest.mark.parametrize("name", zekt_bot.__all__)
def test_a_name_is_what_type_checkers_take_it_for(name: str) -> None:
    found: Any = getattr(zekt_bot, name)
    assert found is getattr(import_module(typed()[name]), name)


@pytest.mark.parametrize("name", ["Plugins", "domain_events", "GiveUpAfter"])
def test_an_unknown_name_is_refused_by_name(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'zekt_bot' has no attribute '{name}'"):
        getattr(zekt_bot, name)


def test_a_star_import_brings_exactly_the_api() -> None:
    names: dict[str, Any] = {}
    exec("from zekt_bot import *", names)
    assert set(names) - {"__builtins__"} == set(zekt_bot.__all__)


def test_the_package_and_its_pure_values_load_no_framework() -> None:
    assert loaded_after("import zekt_bot") == set()
    assert loaded_after("from zekt_bot import Draft, Entry, Outcome, retry_delay") == set()


def test_the_whole_api_loads_pluggy_alone() -> None:
    assert loaded_after("from zekt_bot import *") == {"pluggy"}
