"""What the documents list is what the code has: nothing more, nothing less."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, get_args
from xml.etree import ElementTree

import pytest
from click import Group, Option

from tests.cli.command import every_command
from tests.docs.pages import (
    DOCS,
    ROOT,
    anchors,
    blocks,
    codes,
    every_page,
    links,
    page,
    section,
    table,
)
from tools import cli_reference
from zekt_bot import config
from zekt_bot.cli.errors import exit_codes
from zekt_bot.db import libpq
from zekt_bot.db.tables import metadata as schema
from zekt_bot.domain.deliveries import RETRY_SCHEDULE, TRANSITIONS, BlockedReason, OutcomeKind
from zekt_bot.web.api.routes import CLOSED, OPERATIONS
from zekt_bot.web.console.routes import PAGES
from zekt_bot.web.server import ROUTES

if TYPE_CHECKING:
    from pathlib import Path

STATES = "concepts/delivery-states.md"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


class Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: object = None) -> None:  # type: ignore[override]
        self.names.add(name)


def test_settings_lists_every_variable_that_is_read_and_no_other() -> None:
    asked = Asked()
    config.load(asked)
    read = {name for name in asked.names if f"{name}_FILE" in asked.names}

    assert {row[0] for row in table(page("reference/settings.md"))} == read


@pytest.mark.parametrize("row", table(page("reference/settings.md")), ids=lambda row: str(row[0]))
def test_a_setting_has_the_default_and_takes_the_example_that_its_row_shows(
    row: list[str],
) -> None:
    name, default, example = row[0], codes(row[1]), codes(row[-1])
    needed = {"ZEKT_SECRET_KEY": "k" * 32, "ZEKT_OAUTH_CLIENT_ID": "Ov23liClassicOAuth01"}

    for value in example:
        config.load({**needed, name: value})
    assert example
    if default:
        assert config.load({name: default[0]}) == config.load({})
    else:
        assert row[1] == "none"


def test_every_parameter_of_a_postgresql_url_is_told() -> None:
    told = codes(section(page("reference/settings.md"), "Parameters of a PostgreSQL URL"))

    assert {word for word in told if word in libpq.KNOWN} == libpq.KNOWN


def test_the_states_table_is_the_codes_table() -> None:
    shown = {
        None if row[0] == "(new)" else row[0]: frozenset(codes(row[1]))
        for row in table(section(page(STATES), "The table"))
    }

    assert shown == TRANSITIONS


def test_the_states_diagram_shows_each_transition_once() -> None:
    (diagram,) = blocks(section(page(STATES), "The table"), "mermaid")
    arrows = re.findall(r"^\s*(\S+) --> (\w+)$", diagram, re.MULTILINE)
    drawn = [(None if source == "[*]" else source, to) for source, to in arrows]

    assert sorted(map(str, drawn)) == sorted(
        str((source, to)) for source, targets in TRANSITIONS.items() for to in targets
    )


def test_the_documents_name_every_outcome_reason_and_table() -> None:
    text = page(STATES)

    assert {row[0] for row in table(section(text, "Why something is blocked"))} == set(
        get_args(BlockedReason)
    )
    assert set(get_args(OutcomeKind)) <= set(codes(section(text, "Outcomes of the POST")))
    assert {row[0] for row in table(section(page("architecture.md"), "The rows"))} == set(
        schema.tables
    )


def test_the_rooms_are_drawn_in_the_order_that_is_enforced() -> None:
    rooms, *_ = PYPROJECT["tool"]["importlinter"]["contracts"]
    (drawn,) = blocks(section(page("architecture.md"), "Who may import whom"), "text")

    assert [room.strip() for room in drawn.split("→")] == rooms["layers"]


def test_every_folder_with_code_is_a_room() -> None:
    rooms = {
        name for name in codes(section(page("architecture.md"), "The rooms")) if name[-1] == "/"
    }
    folders = {path.parent for path in (*ROOT.glob("*/*.py"), *ROOT.glob("zekt_bot/*/*.py"))}
    inside = {f"{folder.relative_to(ROOT)}/" for folder in folders} - {"zekt_bot/"}

    assert inside <= rooms
    assert not [name for name in rooms if not (ROOT / name).is_dir()]


def test_reliability_shows_the_retry_schedule() -> None:
    assert ", ".join(str(seconds) for seconds in RETRY_SCHEDULE) in page("reliability.md")


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", line)[0] for line in requirements}


@pytest.mark.parametrize(
    ("title", "requirements"),
    [
        ("Runtime", PYPROJECT["project"]["dependencies"]),
        ("Extras", PYPROJECT["project"]["optional-dependencies"]["otel"]),
        ("Development", PYPROJECT["dependency-groups"]["dev"]),
    ],
)
def test_every_direct_dependency_has_its_reason(title: str, requirements: list[str]) -> None:
    rows = table(section(page("dependencies.md"), title))

    assert {row[0] for row in rows} == _names(requirements)
    assert all(row[1] for row in rows)


def test_every_command_has_a_section_with_its_arguments_and_options() -> None:
    text = page("reference/cli.md")
    commands = {
        each.command_path: each for each in every_command() if not isinstance(each.command, Group)
    }

    assert set(re.findall(r"^### `(zekt [a-z -]+)`$", text, re.MULTILINE)) == set(commands)
    for name, context in commands.items():
        shown = section(text, f"`{name}`")
        options = {
            option
            for param in context.command.params
            if isinstance(param, Option)
            for option in (*param.opts, *param.secondary_opts)
        }
        assert set(re.findall(r"`(--[a-z-]+)", shown)) == options, name
        usage = context.command.collect_usage_pieces(context)
        assert f"{name} {' '.join(usage)}".strip() in shown, name


def test_the_commands_are_written_as_they_are() -> None:
    text = page("reference/cli.md")

    assert cli_reference.page(text) == text, "run `python tools/cli_reference.py`"


def test_the_exit_codes_are_those_of_the_help() -> None:
    told = re.findall(r"^  (\d+)  (.+)$", exit_codes(), re.MULTILINE)

    assert [tuple(row) for row in table(section(page("reference/cli.md"), "Exit codes"))] == told


def test_every_route_has_a_section() -> None:
    text = page("reference/webhooks.md")
    shown = set(re.findall(r"^## `([A-Z]+) (/\S+)`$", text, re.MULTILINE))

    assert shown == {(route.method, route.path) for route in ROUTES}


def test_every_page_of_the_console_is_listed() -> None:
    who = {"nobody": "everybody", "person": "people", "operator": "operators"}
    shown = table(section(page("reference/webhooks.md"), "Pages"))

    assert {(row[0].strip("`"), row[1].strip("`"), row[2]) for row in shown} == {
        (each.method, re.sub(r":[^}]+", "", each.path), who[each.needs]) for each in PAGES
    }


@pytest.mark.parametrize("path", every_page(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for target in links(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target


def test_the_index_leads_to_every_document() -> None:
    linked = {(DOCS / target).resolve() for target in links(page("README.md"))}

    assert {p for p in DOCS.rglob("*.md") if p != DOCS / "README.md"} <= linked


@pytest.mark.parametrize("path", sorted((DOCS / "adr").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_has_context_decision_and_consequences(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)

    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert titles == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 60


def test_the_picture_is_small_and_says_what_it_shows() -> None:
    picture = DOCS / "flow.svg"
    root = ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    named = {child.attrib["id"] for child in root if child.tag.endswith(("}title", "}desc"))}

    assert picture.stat().st_size <= 12 * 1024
    assert root.attrib["role"] == "img"
    assert len(named) == 2
    assert set(root.attrib["aria-labelledby"].split()) == named


def test_every_operation_of_the_api_has_a_section() -> None:
    text = page("reference/api.md")
    shown = set(re.findall(r"^## `([A-Z]+) (/\S+)`$", text, re.MULTILINE))

    assert shown == {(each.method, each.path) for each in OPERATIONS}
    for each in CLOSED:
        assert f"`{each.method} {each.path}`" in section(text, "What is not served")
