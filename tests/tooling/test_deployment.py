"""What platforms read: the image, compose, the Heroku button, the example of a `.env`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from zekt_bot import config
from zekt_bot.app import open_broker, serving
from zekt_bot.cli import environment, zekt

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yml").read_text(encoding="utf-8"))
BUTTON: dict[str, Any] = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
EXAMPLE = ROOT / ".env.example"
NEEDED = {
    "ZEKT_SECRET_KEY",
    "ZEKT_PUBLIC_URL",
    "ZEKT_ORCHESTRATOR_APP_ID",
    "ZEKT_ORCHESTRATOR_PRIVATE_KEY",
    "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET",
}
# https://devcenter.heroku.com/articles/app-json-schema
BUTTON_FIELDS = {"name", "description", "keywords", "stack", "addons", "formation", "env"}
BUTTON_ENV_FIELDS = {"description", "value", "required", "generator"}
PEM = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """A program of this environment, on the repository."""
    program = Path(sys.executable).parent / words[0]
    return subprocess.run(
        [program, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "words",
    [
        ("hadolint", "Dockerfile"),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yml"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-actions", "action/action.yml"),
    ],
    ids=["hadolint", "compose", "action"],
)
def test_a_linter_finds_nothing(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the image ------------------------------------------------------------------------------


def stages() -> list[str]:
    return re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]


def test_the_image_is_built_from_the_lock_with_the_locks_uv() -> None:
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    (uv,) = (package["version"] for package in locked if package["name"] == "uv")
    assert f"ghcr.io/astral-sh/uv:{uv} " in DOCKERFILE
    syncs = re.findall(r"uv sync (.*)", DOCKERFILE)
    assert syncs
    assert all("--frozen" in sync and "--no-dev" in sync for sync in syncs)


def test_the_image_that_runs_has_no_build_tools_and_no_root() -> None:
    build, final = stages()
    assert build.split()[0] == final.split()[0]  # one Python, or the environment does not run
    assert "uv" not in re.findall(r"\w+", final)
    assert "apt-get" not in final
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
    assert "python:3.13-" in final  # in the package's range, as CONTRIBUTING says


def test_the_image_gets_what_the_wheel_is_made_of() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], *project["project"]["license-files"]}
    needed |= {project["project"]["readme"], "pyproject.toml", "uv.lock"}
    assert {line.removeprefix("!") for line in kept if line.startswith("!")} == needed
    assert all((ROOT / name).exists() for name in needed)
    assert "*" in kept


def test_the_image_runs_a_command_that_there_is() -> None:
    (command,) = re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(command)[0] == "zekt"
    assert json.loads(command)[1] in zekt.commands


@pytest.mark.parametrize(("up", "code"), [(True, 0), (False, 1)])
async def test_the_images_health_check_tells_whether_the_server_answers(
    up: bool, code: int, sqlite_url: str
) -> None:
    (check,) = re.findall(r"HEALTHCHECK [^\n]*\n +CMD (.+)$", DOCKERFILE, re.MULTILINE)
    settings = config.Settings(host="127.0.0.1", port=0, database_url=sqlite_url)
    async with open_broker(settings, server=True) as broker, serving(broker) as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *json.loads(check)[1:],
            env={**os.environ, "PORT": str(port if up else 1)},
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == code


# --- compose --------------------------------------------------------------------------------


def test_compose_migrates_after_the_database_is_up_and_before_the_server_starts() -> None:
    services = COMPOSE["services"]
    assert services["db"]["healthcheck"]
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert services["migrate"]["command"] == ["zekt", "migrate"]
    assert services["server"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"}
    }


def test_compose_gives_settings_that_there_are_and_no_secret_of_its_own() -> None:
    for name in ("migrate", "server"):
        given = COMPOSE["services"][name]["environment"]
        assert set(given) <= config.variables()
        secrets = {k: v for k, v in given.items() if "SECRET" in k or "KEY" in k}
        assert secrets
        assert all(value.startswith("${") for value in secrets.values())
    assert set(COMPOSE["services"]["server"]["environment"]) >= NEEDED


def test_compose_asks_only_for_what_the_example_names() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yml").read_text(encoding="utf-8")))
    assert asked - {"PORT", "LOG_LEVEL"} <= set(environment.read(EXAMPLE, {}).variables)


def test_compose_gives_the_server_more_time_than_it_takes_to_stop() -> None:
    (seconds,) = re.findall(r"\d+", COMPOSE["services"]["server"]["stop_grace_period"])
    assert int(seconds) > config.Settings().shutdown_timeout.total_seconds()


# --- the Heroku button ----------------------------------------------------------------------


def test_the_button_has_fields_that_heroku_knows() -> None:
    assert set(BUTTON) == BUTTON_FIELDS
    for name, entry in BUTTON["env"].items():
        assert set(entry) <= BUTTON_ENV_FIELDS, name
        assert entry["description"], name
    (add_on,) = BUTTON["addons"]
    assert add_on["plan"].startswith("heroku-postgresql:")
    assert add_on["as"] == "DATABASE"  # the setting is DATABASE_URL


def test_the_button_asks_for_settings_that_there_are_and_makes_the_key() -> None:
    assert set(BUTTON["env"]) <= config.variables()
    assert set(BUTTON["env"]) >= NEEDED
    assert BUTTON["env"]["ZEKT_SECRET_KEY"]["generator"] == "secret"
    proposed = {name: entry["value"] for name, entry in BUTTON["env"].items() if "value" in entry}
    assert config.load(proposed).trusted_proxies == (ip_network("10.0.0.0/8"),)


def test_heroku_migrates_at_each_release() -> None:
    heroku = yaml.safe_load((ROOT / "heroku.yml").read_text(encoding="utf-8"))
    procfile = yaml.safe_load((ROOT / "Procfile").read_text(encoding="utf-8"))
    assert BUTTON["stack"] == "container"
    assert heroku["build"]["docker"]["web"] == "Dockerfile"
    assert heroku["release"]["command"] == [procfile["release"]]
    assert {line.split()[1] for line in procfile.values()} <= set(zekt.commands)


# --- .env.example ---------------------------------------------------------------------------


def test_the_example_names_what_a_server_needs_and_only_what_there_is() -> None:
    found = environment.read(EXAMPLE, {})
    assert not found.unknown
    assert set(found.variables) >= NEEDED | {"DATABASE_URL"}
    assert set(found.variables) - {"POSTGRES_PASSWORD"} <= config.variables()


def test_the_example_holds_no_secret_and_leaves_the_defaults() -> None:
    assert config.load(environment.read(EXAMPLE, {}).variables) == config.load({})


def test_the_example_takes_a_key_of_several_lines(tmp_path: Path) -> None:
    name = "ZEKT_ORCHESTRATOR_PRIVATE_KEY="
    filled = tmp_path / "env"
    text = EXAMPLE.read_text(encoding="utf-8")
    filled.write_text(text.replace(f"\n{name}\n", f'\n{name}"{PEM}"\n'), encoding="utf-8")
    settings = config.load(environment.read(filled, {}).variables)
    assert settings.orchestrator.private_key == PEM


def test_a_filled_in_example_is_never_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
