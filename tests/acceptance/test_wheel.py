"""The wheel in an environment of its own, in a folder without a checkout: all is in it."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

from tests.acceptance.server import environ_of
from tests.wheel import ROOT
from zekt_bot.plugins import BUILT_IN
from zekt_bot.testing import GitHubSimulator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wheel import Installed


def test_it_carries_what_it_needs_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
        manifests = archive.read("zekt_bot/app.yml")
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "zekt_bot").rglob("*.py")}
    console = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "zekt_bot/web/console").rglob("*.*")
        if path.suffix in {".html", ".css", ".js", ".svg"}
    }
    built_in = {f"zekt_bot/_builtin/{name}.py" for name in BUILT_IN}

    assert manifests == (ROOT / "app.yml").read_bytes()
    assert names >= modules | console | built_in | {"zekt_bot/py.typed"}
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"zekt_bot"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)


async def test_it_runs_the_demo(installed: Installed, tmp_path: Path) -> None:
    ended = await installed.run("zekt", "demo", cwd=tmp_path)

    assert ended.code == 0, ended.err
    assert "left out: it needs act and the example files" in ended.out
    assert ended.out.rstrip().endswith("All as it should be.")


async def test_it_checks_itself(installed: Installed, tmp_path: Path) -> None:
    async with GitHubSimulator() as github:
        app = github.app("zekt-orchestrator-app", hook_url="http://127.0.0.1:9/webhooks/github")
        settings = environ_of(f"sqlite:///{tmp_path / 'zekt.db'}", github, app)
        ended = await installed.run("zekt", "check", cwd=tmp_path, **settings)

    assert ended.code == 0, ended.out + ended.err
    assert "plugins" in ended.out


async def test_it_lists_its_plugins(installed: Installed, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path / 'zekt.db'}"}
    ended = await installed.run("zekt", "plugins", "list", "--json", cwd=tmp_path, **settings)

    assert ended.code == 0, ended.err
    assert [plugin["name"] for plugin in json.loads(ended.out)] == list(BUILT_IN)


async def test_it_is_a_module_too(installed: Installed, tmp_path: Path) -> None:
    ended = await installed.run("python", "-m", "zekt_bot", "--version", cwd=tmp_path)

    assert ended.out == "zekt 0.1.0\n"


async def test_nothing_comes_from_elsewhere(installed: Installed, tmp_path: Path) -> None:
    where = "import zekt_bot, zekt_bot.plugins as p; print(zekt_bot.__file__, p.built_in_folder())"
    ended = await installed.run("python", "-c", where, cwd=tmp_path)

    assert all(path.startswith(str(installed.environment)) for path in ended.out.split())
