"""A workflow file's YAML as nodes, of texts only: no value is made of it, so `on` is not True and
every node has its line. What is too large, too deep or too entangled is refused unread.

Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from yaml import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_NODES = 20_000
MOST_DEPTH = 50
MOST_ALIASES = 200
MOST_STEPS = 75_000

# Where PyYAML was built without libyaml, the slower one does the same.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

Keys = dict[str, tuple[yaml.Node, yaml.Node]]
"""A mapping's key and value nodes by key."""


class TooMuch(Exception):
    """A limit is passed."""


def compose(text: str) -> yaml.Node | None:
    """The file's node; None if it is empty.

    Raises:
        TooMuch, YAMLError.
    """
    _measure(text)
    root: yaml.Node | None = yaml.compose(text, _LOADER)
    return root


def _measure(text: str) -> None:
    """Refuse what composing or walking would make long work of."""
    nodes = depth = aliases = 0
    for event in yaml.parse(text, _LOADER):
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        for what, found, most in (
            ("YAML nodes", nodes, MOST_NODES),
            ("levels", depth, MOST_DEPTH),
            ("aliases", aliases, MOST_ALIASES),
        ):
            if found > most:
                raise TooMuch(f"it has more than {most} {what}")


def line_of(node: yaml.Node) -> int:
    """The line where a node begins."""
    return int(node.start_mark.line) + 1


def text_of(owner: Keys, key: str) -> str:
    """The text at a key; '' if there is none."""
    node = owner[key][1] if key in owner else None
    return str(node.value) if isinstance(node, ScalarNode) else ""


class Walk:
    """Walks the nodes. Aliases make some of them be met often: steps are counted."""

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def mapping(self, node: yaml.Node | None) -> Keys:
        """Key and value nodes by key; of two equal keys, the last."""
        if not isinstance(node, MappingNode):
            return {}
        self._step(len(node.value))
        return {key.value: (key, value) for key, value in node.value if isinstance(key, ScalarNode)}

    def sequence(self, node: yaml.Node | None) -> list[yaml.Node]:
        """The nodes of a list."""
        if not isinstance(node, SequenceNode):
            return []
        self._step(len(node.value))
        return list(node.value)

    def _step(self, count: int) -> None:
        self._left -= count + 1
        if self._left < 0:
            raise TooMuch(f"its aliases make more than {MOST_STEPS} nodes of it")

    def jobs(self, top: Keys) -> Iterator[tuple[str, Keys]]:
        """A workflow's jobs by their keys."""
        jobs = self.mapping(top["jobs"][1]) if "jobs" in top else {}
        for name, (_, job) in jobs.items():
            yield name, self.mapping(job)

    def steps(self, job: Keys) -> Iterator[Keys]:
        """A job's steps."""
        for node in self.sequence(job["steps"][1]) if "steps" in job else []:
            yield self.mapping(node)

    def given(self, step: Keys) -> Keys:
        """What a step gives its action, by names in small letters: GitHub does not tell them
        apart by case."""
        given = self.mapping(step["with"][1]) if "with" in step else {}
        return {name.lower(): pair for name, pair in given.items()}
