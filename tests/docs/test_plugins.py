"""The plugin page against the contract; its examples are plugins that load."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.pages import blocks, page, section
from zekt_bot import plugins
from zekt_bot.errors import PluginRejected
from zekt_bot.hookspecs import ZektSpec

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "plugins.md"
HOOKS: dict[str, Any] = {
    name: member for name, member in vars(ZektSpec).items() if name.startswith("zekt_")
}


def test_the_page_has_a_section_for_every_hook_and_no_other() -> None:
    assert re.findall(r"^### `(zekt_\w+)`$", page(PAGE), re.MULTILINE) == list(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_shown_with_its_kind_its_arguments_and_its_example(name: str) -> None:
    shown, told = section(page(PAGE), f"`{name}`"), inspect.getdoc(HOOKS[name]) or ""
    arguments = list(inspect.signature(HOOKS[name]).parameters)[1:]
    kind = re.search(r"^Kind: (\w+)\.", told, re.MULTILINE)
    example = textwrap.dedent(told.partition("Example::")[2]).strip()

    assert kind
    assert f"Kind: {kind.group(1)}." in shown
    assert f"`{name}({', '.join(arguments)})`" in shown
    (code,) = blocks(shown, "python")
    assert example in code


@pytest.mark.parametrize("code", blocks(page(PAGE), "python"))
def test_an_example_is_a_plugin_that_loads(code: str, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(code, encoding="utf-8")

    assert "repository_dispatch" in plugins.load(tmp_path).channels
    file.write_text(code.replace("def zekt_", "def zekt_x_"), encoding="utf-8")
    with pytest.raises(PluginRejected, match="example"):  # so it did implement a hook
        plugins.load(tmp_path)


def test_the_page_names_the_built_ins() -> None:
    for name in plugins.BUILT_IN:
        assert f"`{name}`" in page(PAGE)
