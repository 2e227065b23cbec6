"""What people do to workflow files and to Actions on the simulated GitHub; no webhook tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from zekt_bot.testing import expressions, files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import Repository, Workflow

Disabled = Literal["disabled_manually", "disabled_inactivity", "disabled_fork"]


class WorkflowOptions(TypedDict, total=False):
    """What a workflow does."""

    text: str
    """The file; what the other options do not say is read from it. Without it, one is made."""
    branch: str
    """The one branch that has the file; unless told, the default branch."""
    on_dispatch_types: Sequence[str]
    run_name: str | None
    finishes: str | None
    jobs: Sequence[str]


class WorkflowScripts:
    """Adding, changing, disabling and deleting workflows."""

    def __init__(self, core: Core) -> None:
        """Act on this host."""
        self._core = core

    def add_workflow(
        self,
        repository: Repository,
        path: str,
        name: str | None = None,
        **options: Unpack[WorkflowOptions],
    ) -> Workflow:
        """A workflow file. With `on_dispatch_types` a dispatch of such a type starts it (`"*"`:
        of any); with `finishes` its runs then end by themselves, else a script ends them.

        Raises:
            ValueError: its `run_name` has an expression that the simulator does not know.
        """
        text = options.get("text")
        told = files.read(text)[1] if text is not None else None
        expressions.check(options.get("run_name", told) or "")
        workflow = self._core.world.add_workflow(repository, path, name or _title(path))
        if text is not None:
            _take(workflow, text)
        workflow.name = name or workflow.name
        workflow.on_dispatch_types = tuple(
            options.get("on_dispatch_types", workflow.on_dispatch_types)
        )
        workflow.run_name = options.get("run_name", workflow.run_name)
        workflow.finishes = options.get("finishes")
        workflow.jobs = tuple(options.get("jobs", workflow.jobs))
        written = files.text_of(workflow) if text is None else text
        _write(repository, options.get("branch"), workflow.path, written)
        return workflow

    def write_file(
        self, repository: Repository, path: str, text: str | bytes, branch: str | None = None
    ) -> None:
        """Commit a file. GitHub reads a workflow of the default branch at once; of another
        branch, only a workflow that it knows already."""
        _write(repository, branch, path, text)
        known = self._known(repository, path)
        if not files.is_workflow(path) or branch not in {None, repository.default_branch}:
            return
        told = text if isinstance(text, str) else text.decode(errors="replace")
        if known is not None:
            _take(known, told)
        elif repository.actions_enabled:
            _take(self._core.world.add_workflow(repository, path, path), told)

    def _known(self, repository: Repository, path: str) -> Workflow | None:
        live = (one for one in repository.workflows if one.state != "deleted")
        return next((one for one in live if one.path == path), None)

    def disable_workflow(self, workflow: Workflow, state: Disabled = "disabled_manually") -> None:
        """Let it start no more; by a person, or by GitHub after 60 quiet days."""
        workflow.state, workflow.updated_at = state, self._core.now()

    def enable_workflow(self, workflow: Workflow) -> None:
        """Let it start again."""
        workflow.state, workflow.updated_at = "active", self._core.now()

    def delete_workflow(self, workflow: Workflow) -> None:
        """Delete its file on every branch. GitHub goes on listing one that has runs."""
        repository = workflow.repository
        for branch in repository.files.values():
            branch.pop(workflow.path, None)
        if workflow.runs:
            workflow.state = "deleted"
            workflow.deleted_at = workflow.updated_at = self._core.now()
        else:
            repository.workflows.remove(workflow)

    def rename_workflow(self, workflow: Workflow, path: str) -> Workflow:
        """Move its file: for GitHub the one is deleted and another, new one is there."""
        repository, former = workflow.repository, workflow.path
        branches = {b: there[former] for b, there in repository.files.items() if former in there}
        self.delete_workflow(workflow)
        moved = self._core.world.add_workflow(repository, path, workflow.name)
        moved.on_dispatch_types, moved.run_name = workflow.on_dispatch_types, workflow.run_name
        moved.finishes, moved.jobs = workflow.finishes, workflow.jobs
        for branch, raw in branches.items():
            _write(repository, branch, moved.path, raw)
        return moved

    def disable_actions(self, repository: Repository) -> None:
        """Switch Actions off: nothing starts, and new workflow files are not read."""
        repository.actions_enabled = False

    def enable_actions(self, repository: Repository) -> None:
        """Switch Actions on: what was written meanwhile is read."""
        repository.actions_enabled = True
        for path, raw in repository.files.get(repository.default_branch, {}).items():
            if self._known(repository, path) is None:
                self.write_file(repository, path, raw)


def _write(repository: Repository, branch: str | None, path: str, text: str | bytes) -> None:
    raw = text.encode() if isinstance(text, str) else text
    repository.files.setdefault(branch or repository.default_branch, {})[path] = raw


def _take(workflow: Workflow, text: str) -> None:
    """Let a workflow be what its file says."""
    name, workflow.run_name, workflow.on_dispatch_types = files.read(text)
    workflow.name = name or workflow.path


def _title(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]
