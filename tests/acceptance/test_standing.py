"""Four ways to stand: each finds its own built-ins once, and a stranger's plugin beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import environment
from tests.wheel import ROOT
from zekt_bot.plugins import BUILT_IN

if TYPE_CHECKING:
    from tests.wheel import Installed

HEARING = """
from zekt_bot import hookimpl

@hookimpl
def zekt_github_events():
    return ["star", "workflow_run"]

@hookimpl
async def zekt_github_event(event, client): ...
"""
WHERE = (
    "import zekt_bot.plugins as p; h = p.built_in_folder(); "
    "print(h, *(m.__file__ for n, m in __import__('sys').modules.items() if n == 'zekt_bot'))"
)


def installed_plugin(folder: Path) -> Path:
    """A package with an entry point, as pip lays it out."""
    about = folder / "acme_zekt-2.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-zekt\nVersion: 2.5\n")
    (about / "entry_points.txt").write_text("[zekt]\nacme = acme_zekt\n")
    (folder / "acme_zekt.py").write_text(HEARING)
    return folder


def own(program: str, *words: str, cwd: Path, **settings: str) -> str:
    """What a program of this editable environment prints."""
    done = subprocess.run(
        [Path(sys.executable).parent / program, *words],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(listed: str) -> None:
    plugins: list[dict[str, Any]] = json.loads(listed)
    assert [plugin["name"] for plugin in plugins] == [*BUILT_IN, "acme"]
    assert {plugin["origin"] for plugin in plugins[:-1]} == {"built-in"}
    acme = plugins[-1]
    assert (acme["origin"], acme["version"]) == ("acme-zekt", "2.5")
    assert acme["hooks"] == ["zekt_github_events", "zekt_github_event"]
    (problem,) = acme["problems"]
    assert problem.startswith("GitHub does not send star: app.yml does not subscribe to it")


@pytest.mark.parametrize("place", ["checkout", "another folder"])
def test_a_checkout_and_an_editable_install(place: str, tmp_path: Path) -> None:
    cwd = ROOT if place == "checkout" else tmp_path
    (tmp_path / "site").mkdir()
    site = installed_plugin(tmp_path / "site")
    check(own("zekt", "plugins", "list", "--json", cwd=cwd, PYTHONPATH=str(site)))
    told = own("python", "-c", WHERE, cwd=cwd).split()
    assert told == [str(ROOT / "plugins"), str(ROOT / "zekt_bot" / "__init__.py")]


@pytest.mark.parametrize("place", ["empty folder", "checkout"])
async def test_a_wheel(place: str, installed: Installed, tmp_path: Path) -> None:
    cwd = ROOT if place == "checkout" else tmp_path
    (tmp_path / "site").mkdir()
    site = {"PYTHONPATH": str(installed_plugin(tmp_path / "site"))}
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "stray.py").write_text("raise AssertionError")  # cwd is never searched
    listed = await installed.run("zekt", "plugins", "list", "--json", cwd=cwd, **site)
    assert listed.code == 0, listed.err
    check(listed.out)
    with_folder = {**site, "ZEKT_PLUGINS_DIR": str(tmp_path / "mine")}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "audit.py").write_text("")
    refused = await installed.run("zekt", "plugins", cwd=cwd, **with_folder)
    assert refused.code == 9
    assert "two plugins audit" in refused.err
