"""Steps that tell Zekt which delivery their run came of: an exact proof without `run-name`.

The Action is known by what it is given, not by its name: each server has a copy of its own.

Source: docs/reference/action.md, and
https://docs.github.com/actions/reference/security/oidc#required-permission
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.operations.preflight.nodes import line_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zekt_bot.operations.preflight.nodes import Keys, Walk

# Before any `#` of its line: what follows that may be a comment.
_CALL = re.compile(r"^[^#\n]*/api/event-delivery/(?:confirm|complete)\b", re.MULTILINE)
_NEVER = re.compile(r"false|\$\{\{\s*false\s*\}\}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Confirming:
    """A step that confirms. `may_ask`: its job gets the token that it needs for that."""

    line: int
    may_ask: bool
    on_condition: bool


def find(walk: Walk, top: Keys) -> Iterator[Confirming]:
    """The steps of a workflow that confirm; those with `if: false` never do."""
    scripts: dict[int, bool] = {}
    for _, job in walk.jobs(top):
        may_ask = _may_ask(walk, job if "permissions" in job else top)
        for step in walk.steps(job):
            confirms = _receives(walk, step) or _calls(step, scripts)
            if confirms and not (_never(job) or _never(step)):
                first, _ = next(iter(step.values()))
                yield Confirming(line_of(first), may_ask, "if" in job or "if" in step)


def receives(given: Keys) -> bool:
    """Whether an action is told to receive; the Zekt Action, too, takes no other spelling."""
    return text_of(given, "mode").strip() == "receive"


def _receives(walk: Walk, step: Keys) -> bool:
    given = walk.given(step) if "uses" in step else {}
    return receives(given) and bool(text_of(given, "zekt-api-url").strip())


def _calls(step: Keys, known: dict[int, bool]) -> bool:
    """Whether a script calls the API. With aliases many steps have the same: it is read once."""
    if "run" not in step:
        return False
    key = id(step["run"][1])
    if key not in known:
        known[key] = _CALL.search(text_of(step, "run")) is not None
    return known[key]


def _may_ask(walk: Walk, owner: Keys) -> bool:
    """Whether these `permissions` are enough; without any, GitHub's default never is."""
    if "permissions" not in owner:
        return False
    each = walk.mapping(owner["permissions"][1])
    return text_of(owner, "permissions") == "write-all" or text_of(each, "id-token") == "write"


def _never(owner: Keys) -> bool:
    return _NEVER.fullmatch(text_of(owner, "if").strip()) is not None
