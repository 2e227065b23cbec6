"""What is to say of a consumer's repository. Pure: what was read goes in, findings come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from zekt_bot.domain.catalog import ANY_TYPE
from zekt_bot.operations.preflight.workflow_files import Unreadable, WorkflowFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zekt_bot.domain.catalog import Service
    from zekt_bot.domain.subscriptions import Subscription
    from zekt_bot.github.workflows import ListedWorkflow

Level = Literal["problem", "hint", "ok"]
Word = Literal[
    "actions_disabled",
    "broken_yaml",
    "drops_runs",
    "no_access",
    "no_id_token",
    "no_key",
    "no_reaction",
    "not_dispatched",
    "not_listed",
    "not_on_default_branch",
    "reacts",
    "run_name_missing",
    "run_name_proves",
    "script_injection",
    "step_confirms",
    "too_large",
    "too_many_files",
    "workflow_disabled",
]
WORDS: tuple[Word, ...] = get_args(Word)
LEVELS: tuple[Level, ...] = get_args(Level)
RUN_NAME = "run-name: Zekt ${{ github.event.client_payload.zekt.deliveryId }}"
STEP = (
    "`uses: OWNER/REPO/action@REF` with `mode: receive` and `zekt-api-url`, in a job that has "
    "`permissions: id-token: write`"
)
PROOFS: frozenset[Word] = frozenset({"run_name_proves", "step_confirms"})
"""Each says that a workflow proves which delivery started its runs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: how bad, a machine's word, why and what to do, and where."""

    level: Level
    word: Word
    text: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The event types that may come. `others`: those that nobody named, too."""

    types: tuple[str, ...]
    others: bool

    def started(self, file: WorkflowFile) -> tuple[str, ...]:
        """The types that start this workflow, `*` for any."""
        dispatch = file.dispatch
        if dispatch is None:
            return ()
        known = tuple(each for each in self.types if dispatch.starts_on(each))
        if not self.others:
            return known
        unnamed = (ANY_TYPE,) if dispatch.types is None else dispatch.types
        return tuple(dict.fromkeys((*known, *unnamed)))


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of the repository."""

    full_name: str
    branch: str
    listed: Mapping[str, ListedWorkflow]
    files: Mapping[str, WorkflowFile | Unreadable]
    elsewhere: Mapping[str, tuple[str, WorkflowFile]] = field(default_factory=dict)
    """Branch and file of workflows that are not on the default branch, by path."""
    left_out: int = 0


def findings(seen: Seen, wanted: Wanted) -> tuple[Finding, ...]:
    """Problems first, then hints, then what is well."""
    found = [*_repository(seen, wanted), *_files(seen, wanted), *_elsewhere(seen, wanted)]
    return tuple(sorted(found, key=lambda each: LEVELS.index(each.level)))


def wanted_of(subscription: Subscription, service: Service) -> Wanted:
    """What the service may send, the subscription accepts and its filters keep."""
    lists = [service.profile.event_types, subscription.event_types]
    if subscription.filters.event_types:
        lists.append(subscription.filters.event_types)
    named = dict.fromkeys(each for one in lists for each in one if each != ANY_TYPE)
    types = [each for each in named if all(each in one or ANY_TYPE in one for one in lists)]
    return Wanted(tuple(types), all(ANY_TYPE in one for one in lists))


def _repository(seen: Seen, wanted: Wanted) -> Iterator[Finding]:
    """What is to say of the repository as a whole."""
    if seen.files and not any(_is_listed(seen, path) for path in seen.files):
        yield Finding(
            "problem",
            "actions_disabled",
            f"GitHub lists none of the {len(seen.files)} workflow files of {seen.full_name}: "
            "Actions is disabled there, or was when they came. Enable it in the repository's "
            "settings, under Actions, General.",
        )
    if seen.left_out:
        yield Finding(
            "hint",
            "too_many_files",
            f"{seen.left_out} workflow files of {seen.full_name} were not read: they are too many.",
        )
    started = {each for file in _readable(seen).values() for each in wanted.started(file)}
    for event_type in _unheard(wanted, started):
        shown = "any event type" if event_type == ANY_TYPE else event_type
        yield Finding(
            "hint" if started else "problem",
            "no_reaction",
            f"No workflow on {seen.branch} of {seen.full_name} starts on {shown}: add "
            f"`on: repository_dispatch: types: [{event_type}]` to one, or nothing happens there."
            if event_type != ANY_TYPE
            else f"No workflow on {seen.branch} of {seen.full_name} starts on a dispatch: add "
            "`on: repository_dispatch:` to one, or nothing happens there.",
        )


def _is_listed(seen: Seen, path: str) -> bool:
    return path in seen.listed and seen.listed[path].there


def _readable(seen: Seen) -> dict[str, WorkflowFile]:
    return {path: one for path, one in seen.files.items() if isinstance(one, WorkflowFile)}


def _unheard(wanted: Wanted, started: set[str]) -> list[str]:
    unheard = [each for each in wanted.types if each not in started]
    return [ANY_TYPE] if wanted.others and not started else unheard


def _files(seen: Seen, wanted: Wanted) -> Iterator[Finding]:
    for path, file in seen.files.items():
        if isinstance(file, Unreadable):
            yield _unread(path, file)
        elif types := wanted.started(file):
            yield from _reaction(seen, path, file, types)
            yield from _risks(path, file)
            yield from _proofs(path, file)


def _unread(path: str, file: Unreadable) -> Finding:
    cure = "mend it" if file.word == "broken_yaml" else "make it smaller"
    text = f"{path} was not read, because {file.reason}: {cure} if it should react."
    return Finding("hint", file.word, text, path, file.line)


def _reaction(
    seen: Seen, path: str, file: WorkflowFile, types: tuple[str, ...]
) -> Iterator[Finding]:
    line = file.dispatch.line if file.dispatch else None
    shown = "any event type" if ANY_TYPE in types else ", ".join(types)
    if not _is_listed(seen, path):
        yield Finding(
            "hint",
            "not_listed",
            f"{path} would start on {shown}, but GitHub does not list it: push a change to it, "
            "and see whether Actions is enabled.",
            path,
            line,
        )
    elif (state := seen.listed[path].state) != "active":
        yield Finding(
            "problem",
            "workflow_disabled",
            f"{path} would start on {shown}, but GitHub has it as {state}: enable it on "
            "the repository's Actions page.",
            path,
            line,
        )
    else:
        yield Finding("ok", "reacts", f"{path} starts on {shown}.", path, line)


def _risks(path: str, file: WorkflowFile) -> Iterator[Finding]:
    for group in file.groups:
        whose = "its runs" if group.job is None else f"the job {group.job} of its runs"
        fate = (
            "a new one cancels the one that runs"
            if group.cancels_running
            else "one runs, one waits, and a third cancels the one that waits"
        )
        yield Finding(
            "problem",
            "drops_runs",
            f"{path} puts all of {whose} into the concurrency group {group.name[:100]!r}: {fate}, "
            "so deliveries are lost. Add `queue: max` without cancel-in-progress, or put "
            "${{ github.run_id }} into the group's name.",
            path,
            group.line,
        )
    for use in file.injections:
        yield Finding(
            "problem",
            "script_injection",
            f"{path} puts {use.expression} into a script, where the sender's text becomes code: "
            "put it into `env:`, and read the variable in the script.",
            path,
            use.line,
        )


def _proofs(path: str, file: WorkflowFile) -> Iterator[Finding]:
    """What proves which delivery started a run, and what was meant to."""
    if file.proves_runs:
        text = f"The run-name of {path} proves which delivery started a run."
        yield Finding("ok", "run_name_proves", text, path, file.run_name)
    able = [step for step in file.confirming if step.may_ask]
    if able:
        step = min(able, key=lambda step: step.on_condition)
        where = ", where its `if:` holds" if step.on_condition else ""
        text = f"A step of {path} confirms which delivery started a run{where}."
        yield Finding("ok", "step_confirms", text, path, step.line)
    elif not file.proves_runs:
        how = "put it into its run-name" if file.run_name else "add the line"
        text = (
            f"Nothing proves which delivery started a run of {path}: {how} `{RUN_NAME}`, or let a "
            f"step confirm it, {STEP}."
        )
        yield Finding("hint", "run_name_missing", text, path, file.run_name or 1)
    for step in file.confirming:
        if not step.may_ask:
            text = (
                f"{path} would confirm the delivery, but its job gets no token for that, and the "
                "step fails: add `permissions: id-token: write` to the job."
            )
            yield Finding("problem", "no_id_token", text, path, step.line)


def _elsewhere(seen: Seen, wanted: Wanted) -> Iterator[Finding]:
    for path, (branch, file) in seen.elsewhere.items():
        if wanted.started(file) and file.dispatch:
            yield Finding(
                "problem",
                "not_on_default_branch",
                f"{path} would react, but it is on {branch} alone, and a dispatch starts only "
                f"workflows of {seen.branch}: merge it into {seen.branch}.",
                path,
                file.dispatch.line,
            )


def not_dispatched(channel: str) -> Finding:
    text = f"This subscription is delivered by {channel}, which starts no workflow: nothing to do."
    return Finding("ok", "not_dispatched", text)


def no_key(full_name: str, service: str) -> Finding:
    """The service's messages are encrypted."""
    text = (
        f"{service} takes encrypted messages alone, and {full_name} has no key to open one: make a "
        f"pair, and run `zekt shield keys add {full_name} FILE` with the public one."
    )
    return Finding("problem", "no_key", text)


def no_access(full_name: str, why: str) -> Finding:
    text = f"{full_name} cannot be read, because {why}: install the App there, or grant it."
    return Finding("problem", "no_access", text)
