"""Which Python `make` takes, told by interpreters that only pretend."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "sed", "mktemp", "rm", "cat", "mkdir", "chmod")
SHIM = "exit 127"


def says(verdict: str, version: str, path: str = "$0") -> str:
    """An interpreter that answers what setup.sh asks, and makes an environment with uv in it."""
    return f"""
case "$1" in
-c) echo "{verdict} {version} {path}" ;;
-m) for last; do :; done
    echo "venv $0" >> "$CALLS"
    mkdir -p "$last/bin"
    for name in python uv; do
        echo '#!/bin/sh' > "$last/bin/$name"
        echo 'echo "'$name' $*" >> "$CALLS"' >> "$last/bin/$name"
        echo 'if [ "$1" = venv ]; then for it; do :; done; mkdir -p "$it"; fi' >> "$last/bin/$name"
        chmod +x "$last/bin/$name"
    done ;;
esac"""


@dataclass
class Machine:
    """A checkout, and a PATH with nothing on it but what a test puts there."""

    root: Path

    def put(self, name: str, script: str) -> None:
        program = self.root / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def set_up(self, python: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "bin" / "sh", "checkout/tools/setup.sh"],
            cwd=self.root,
            env={
                "PATH": str(self.root / "bin"),
                "CALLS": str(self.root / "calls"),
                "PYTHON": python,
                "TMPDIR": str(self.root / "tmp"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()

    def venvs(self) -> list[str]:
        return [call for call in self.calls if call.startswith("venv ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for folder in ("bin", "tmp", "checkout/tools"):
        (tmp_path / folder).mkdir(parents=True)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    for name in ("pyproject.toml", "tools/setup.sh"):
        shutil.copy(ROOT / name, tmp_path / "checkout" / name)
    return Machine(tmp_path)


def test_a_shim_that_fails_is_passed_over(machine: Machine) -> None:
    machine.put("python3.13", SHIM)
    machine.put("python3.12", says("usable", "3.12"))
    machine.put("python3", says("usable", "3.11"))
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.calls[0] == f"venv {machine.root}/bin/python3.12"
    assert machine.calls[-1].startswith("uv sync --quiet --frozen")


def test_a_python_out_of_range_is_passed_over(machine: Machine) -> None:
    machine.put("python3", says("other", "3.8"))
    done = machine.set_up()
    assert done.returncode == 1
    assert "python3: Python 3.8, which is out of range" in done.stderr
    assert "python3.13: not found" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr


def test_the_named_python_is_taken(machine: Machine) -> None:
    machine.put("python3.13", says("usable", "3.13"))
    machine.put("mine", says("usable", "3.11"))
    assert machine.set_up(python="mine").returncode == 0
    assert machine.calls[0] == f"venv {machine.root}/bin/mine"


def test_the_named_python_is_not_replaced_by_another(machine: Machine) -> None:
    machine.put("python3.13", says("usable", "3.13"))
    machine.put("mine", SHIM)
    done = machine.set_up(python="mine")
    assert done.returncode == 1
    assert "mine: found" in done.stderr
    assert "does not run" in done.stderr


def test_a_missing_venv_module_is_named_with_its_package(machine: Machine) -> None:
    machine.put("python3", says("no-venv", "3.11"))
    done = machine.set_up()
    assert done.returncode == 1
    assert "without its venv module" in done.stderr
    assert "apt install python3.11-venv" in done.stderr


def test_uv_fetches_an_interpreter_when_there_is_none_in_range(machine: Machine) -> None:
    machine.put("python3", says("bootstrap", "3.10"))
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    uv = [call for call in machine.calls if call.startswith("uv ")]
    assert "--managed-python" in uv[0]
    assert uv[1].startswith("uv sync --quiet --frozen")


def test_a_fetch_that_fails_says_what_to_install(machine: Machine) -> None:
    machine.put("uv", "echo no network; exit 1")
    done = machine.set_up()
    assert done.returncode == 1
    assert "no network" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr


def test_the_same_python_at_the_same_place_is_kept(machine: Machine) -> None:
    machine.put("python3", says("usable", "3.11"))
    for _ in range(2):
        assert machine.set_up().returncode == 0
    assert machine.venvs() == [f"venv {machine.root}/bin/python3"]


def test_another_python_of_the_same_version_makes_it_anew(machine: Machine) -> None:
    machine.put("python3", says("usable", "3.11"))
    machine.put("mine", says("usable", "3.11"))
    machine.set_up()
    machine.set_up(python="mine")
    assert machine.venvs() == [f"venv {machine.root}/bin/{name}" for name in ("python3", "mine")]


def test_a_moved_checkout_makes_it_anew(machine: Machine) -> None:
    machine.put("python3", says("usable", "3.11"))
    machine.set_up()
    (machine.root / "checkout").rename(machine.root / "before")
    shutil.copytree(machine.root / "before", machine.root / "checkout", symlinks=True)
    machine.set_up()
    assert len(machine.venvs()) == 1  # it is where it was
    shutil.move(machine.root / "checkout", machine.root / "elsewhere")
    (machine.root / "checkout").symlink_to("elsewhere")
    assert machine.set_up().returncode == 0
    assert len(machine.venvs()) == 2


def test_make_sets_up_a_moved_checkout_anew(tmp_path: Path) -> None:
    first = tmp_path / "a first place"
    (first / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, first / name)
    (first / "tools/setup.sh").write_text('mkdir -p .venv; pwd -P >.venv/.folder; echo "set up"\n')

    def make(folder: Path) -> str:
        done = subprocess.run(["make", "setup"], cwd=folder, capture_output=True, check=True)
        return done.stdout.decode()

    assert "set up" in make(first)
    assert "set up" not in make(first)
    second = first.rename(tmp_path / "second")
    assert "set up" in make(second)
    assert "set up" not in make(second)


def test_nothing_is_left_in_the_temporary_folder(machine: Machine) -> None:
    machine.put("python3", says("usable", "3.11"))
    machine.set_up()
    assert not list((machine.root / "tmp").iterdir())


def test_the_range_is_the_one_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11,<3.14"
    assert "(3, 11) <= version < (3, 14)" in (ROOT / "tools/setup.sh").read_text()


def test_uv_has_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [pin] = [name for name in project["dependency-groups"]["dev"] if name.startswith("uv==")]
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    [version] = [package["version"] for package in locked if package["name"] == "uv"]
    assert pin == f"uv=={version}"


def test_the_lock_names_pypi_alone() -> None:
    hosts = set(re.findall(r'https?://[^/"]+', (ROOT / "uv.lock").read_text()))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}
