"""What one workflow file does with a `repository_dispatch`. No I/O; any bytes give an answer.

Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

import yaml
from yaml import ScalarNode

from zekt_bot.operations.preflight import confirming, expressions
from zekt_bot.operations.preflight.nodes import TooMuch, Walk, compose, line_of, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from zekt_bot.operations.preflight.confirming import Confirming
    from zekt_bot.operations.preflight.expressions import Value
    from zekt_bot.operations.preflight.nodes import Keys

MOST_BYTES = 512 * 1024
MOST_USES = 50
EVENT = "repository_dispatch"
PAYLOAD = ("github", "event", "client_payload")
DELIVERY_ID = (*PAYLOAD, "zekt", "deliveryid")

# Parts of the payload that two runs of one service may well share.
_SHARED = {"version", "eventtype", "sourcerepo", "service", "isreplay", "hops"}
_SHARED_OF_WORKFLOW = {"name", "path", "event", "conclusion", "headbranch", "actor"}
# What the Zekt Action gives on of it, as outputs (docs/reference/action.md).
_OUTPUTS = {"payload", "event-type", "source-repo"}
# What has no value when a dispatch starts a run.
_EMPTY = (("github", "head_ref"), ("github", "base_ref"), ("inputs",))
_EMPTY_EVENT = {"pull_request", "issue", "number", "inputs", "workflow_run", "release"}


@dataclass(frozen=True, slots=True)
class Dispatch:
    """`on: repository_dispatch`. `types` None: it starts on any type."""

    line: int
    types: tuple[str, ...] | None = None

    def starts_on(self, event_type: str) -> bool:
        """Whether a dispatch of this type starts the workflow."""
        return self.types is None or event_type in self.types


@dataclass(frozen=True, slots=True)
class Group:
    """A `concurrency` group that all runs share. `job` None: the whole workflow's."""

    line: int
    name: str
    job: str | None
    cancels_running: bool


@dataclass(frozen=True, slots=True)
class Use:
    """An expression in a script that puts the payload's text into the code."""

    line: int
    expression: str


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """What a file says. `dispatch` None: no dispatch starts it, and nothing else was read."""

    dispatch: Dispatch | None = None
    run_name: int | None = None
    """The line of `run-name`, if it has one."""
    proves_runs: bool = False
    """Whether `run-name` has the delivery's id."""
    confirming: tuple[Confirming, ...] = ()
    """Steps that confirm the delivery."""
    groups: tuple[Group, ...] = ()
    injections: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that was not read."""

    word: Literal["broken_yaml", "too_large"]
    reason: str
    line: int | None = None


def read(raw: bytes) -> WorkflowFile | Unreadable:
    """What a workflow file says, or why it was not read."""
    if len(raw) > MOST_BYTES:
        return Unreadable("too_large", f"it has more than {MOST_BYTES // 1024} KB")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return Unreadable("broken_yaml", "it is not UTF-8", raw.count(b"\n", 0, error.start) + 1)
    try:
        return _Reader(text).workflow(compose(text))
    except TooMuch as error:
        return Unreadable("too_large", str(error))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Unreadable("broken_yaml", _said(error.problem), mark.line + 1 if mark else None)
    except yaml.YAMLError as error:
        return Unreadable("broken_yaml", _said(getattr(error, "reason", None)))


def _said(problem: object) -> str:
    return " ".join(str(problem or "it is not YAML").split())[:200]


class _Reader(Walk):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._lines = text.split("\n")
        self._foreign = _Foreign()
        self._seen: set[int] = set()
        self._tainted: dict[int, bool] = {}

    def workflow(self, root: yaml.Node | None) -> WorkflowFile:
        top = self.mapping(root)
        dispatch = self._dispatch(top.get("on"))
        if dispatch is None:
            return WorkflowFile()
        self._foreign = _Foreign(frozenset(self._receiving(top)))
        named = top.get("run-name")
        title = text_of(top, "run-name")
        return WorkflowFile(
            dispatch=dispatch,
            run_name=line_of(named[0]) if named else None,
            proves_runs=any(DELIVERY_ID in expressions.values(e.text) for e in _found(title)),
            confirming=tuple(dict.fromkeys(islice(confirming.find(self, top), MOST_USES))),
            groups=tuple(self._groups(top)),
            injections=tuple(islice(self._injections(top), MOST_USES)),
        )

    def _dispatch(self, on: tuple[yaml.Node, yaml.Node] | None) -> Dispatch | None:
        if on is None:
            return None
        events = on[1]
        for each in [events, *self.sequence(events)]:
            if isinstance(each, ScalarNode) and each.value == EVENT:
                return Dispatch(line_of(each))
        found = self.mapping(events).get(EVENT)
        if found is None:
            return None
        return Dispatch(line_of(found[0]), self._types(self.mapping(found[1]).get("types")))

    def _types(self, types: tuple[yaml.Node, yaml.Node] | None) -> tuple[str, ...] | None:
        if types is None:
            return None
        listed = [types[1], *self.sequence(types[1])]
        named = tuple(each.value for each in listed if isinstance(each, ScalarNode))
        return None if named in {("",), ("~",), ("null",)} else named

    def _groups(self, top: Keys) -> Iterator[Group]:
        yield from self._group(top, None)
        for name, job in self.jobs(top):
            yield from self._group(job, name)

    def _group(self, owner: Keys, job: str | None) -> Iterator[Group]:
        if "concurrency" not in owner:
            return
        key, node = owner["concurrency"]
        if isinstance(node, ScalarNode):
            group, how = node.value, {}
        else:
            how = {
                name: value.value
                for name, (_, value) in self.mapping(node).items()
                if isinstance(value, ScalarNode)
            }
            group = how.get("group", "")
        # With `queue: max`, up to 100 runs wait instead of one.
        if group and how.get("queue") != "max" and not _differs(group):
            cancels = how.get("cancel-in-progress", "false").strip().lower() != "false"
            yield Group(line_of(key), group, job, cancels)

    def _receiving(self, top: Keys) -> Iterator[str]:
        """The ids of steps that receive a message with the Zekt Action, in small letters."""
        for _, job in self.jobs(top):
            for step in self.steps(job):
                if "uses" in step and "id" in step and confirming.receives(self.given(step)):
                    yield text_of(step, "id").lower()

    def _injections(self, top: Keys) -> Iterator[Use]:
        of_all = self._variables(top)
        for _, job in self.jobs(top):
            of_job = of_all | self._variables(job)
            for step in self.steps(job):
                for script in self._scripts(step):
                    variables = of_job | self._variables(step)
                    yield from self._uses(script, replace(self._foreign, variables=variables))

    def _variables(self, owner: Keys) -> frozenset[str]:
        """The variables of an `env` that hold text of the payload, in small letters."""
        given = self.mapping(owner["env"][1]) if "env" in owner else {}
        return frozenset(name.lower() for name, (_, value) in given.items() if self._is_of(value))

    def _is_of(self, node: yaml.Node) -> bool:
        known = self._tainted.get(id(node))
        if known is None:
            known = isinstance(node, ScalarNode) and bool(self._foreign.found(node.value))
            self._tainted[id(node)] = known
        return known

    def _scripts(self, step: Keys) -> Iterator[ScalarNode]:
        """The code of a step: `run`, and what actions/github-script runs."""
        found = [step["run"][1]] if "run" in step else []
        given = self.given(step) if _runs_script(text_of(step, "uses")) else {}
        found += [given["script"][1]] if "script" in given else []
        for script in found:
            if isinstance(script, ScalarNode) and id(script) not in self._seen:
                self._seen.add(id(script))
                yield script

    def _uses(self, script: ScalarNode, foreign: _Foreign) -> Iterator[Use]:
        found = foreign.found(script.value)
        if not found:
            return
        first, last = line_of(script), script.end_mark.line + 1
        # The source has the lines that the value lost; with escapes in it, only the first is sure.
        # One line may hold all scripts: of one that ends there no more is to be found in it.
        source = "\n".join(self._lines[first - 1 : last]) if last > first else ""
        placed = foreign.found(source)
        exact = len(placed) == len(found)
        for number, expression in enumerate(found[:MOST_USES]):
            below = source.count("\n", 0, placed[number].start) if exact else 0
            shown = " ".join(expression.text.split())
            yield Use(first + below, f"${{{{ {shown[:200]} }}}}")


def _found(text: str) -> list[expressions.Expression]:
    return list(expressions.find(text))


@dataclass(frozen=True, slots=True)
class _Foreign:
    """Where the payload's text is: in itself, in outputs of `steps`, and in `variables` of env."""

    steps: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()

    def found(self, text: str) -> list[expressions.Expression]:
        """The expressions that read some of it."""
        return [
            each
            for each in expressions.find(text)
            if any(map(self._reads, expressions.values(each.text)))
        ]

    def _reads(self, value: Value) -> bool:
        if value[0] == "env":
            return bool(self.variables) and _may_be(value, 1, self.variables)
        if value[0] == "steps":
            given = _may_be(value, 2, {"outputs"}) and _may_be(value, 3, _OUTPUTS)
            return bool(self.steps) and given and _may_be(value, 1, self.steps)
        return expressions.touches(value, PAYLOAD)


def _may_be(value: Value, at: int, names: Collection[str]) -> bool:
    """Whether one of these names may be read there: as a whole, or computed."""
    return len(value) <= at or value[at] is None or value[at] in names


def _runs_script(action: str) -> bool:
    return action.strip().lower().partition("@")[0] == "actions/github-script"


def _differs(group: str) -> bool:
    """Whether a group's name may differ between two runs that dispatches started."""
    return any(_expression_differs(each.text) for each in expressions.find(group))


def _expression_differs(expression: str) -> bool:
    for read, plain in expressions.alternatives(expression):
        if any(_value_differs(value) for value in read):
            return True
        if plain and not any(_is_empty(value) for value in read):
            return False  # it is the answer, and what follows is never looked at
    return False


def _value_differs(value: Value) -> bool:
    if value[0] == "needs":
        return True
    if any(expressions.touches(value, ("github", name)) for name in ("run_id", "run_number")):
        return True
    if not expressions.touches(value, PAYLOAD):
        return False
    names = value[len(PAYLOAD) :]
    if names[:1] != ("zekt",) or len(names) == 1:
        return True
    if names[1] == "workflow" and len(names) > 2:
        return names[2] not in _SHARED_OF_WORKFLOW
    return names[1] not in _SHARED


def _is_empty(value: Value) -> bool:
    if any(value[: len(path)] == path for path in _EMPTY):
        return True
    return value[:2] == ("github", "event") and len(value) > 2 and value[2] in _EMPTY_EVENT
