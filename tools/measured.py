"""A pytest plugin (`-p tools.measured`): which lines and branches of the rooms ran, in REPORT.

Each process instruments what it imports and forgets what it has seen (slipcover), where a tracer
makes every call of every library slower: https://github.com/plasma-umass/slipcover

`plugins/` are loaded by their files, anew for each broker that a test opens; their code is
instrumented once.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import os
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slipcover
from slipcover import branch

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType

    import pytest

REPORT = Path(".coverage.json")
_ROOMS = ["zekt_bot/domain", "zekt_bot/pipeline", "zekt_bot/operations", "plugins"]
_NO_CODE = ["if TYPE_CHECKING:", "@overload", r"^\s*\.\.\.$"]

_measured = slipcover.Slipcover(branch=True, source=_ROOMS, exclude_also=_NO_CODE)
_of_workers: list[dict[str, Any]] = []

# Before anything of ours is imported: this plugin is loaded first.
_of_rooms = slipcover.FileMatcher(sources=_ROOMS)
slipcover.ImportManager(_measured, _of_rooms).__enter__()
_find_spec = importlib.util.spec_from_file_location


@functools.cache
def _instrumented(source: bytes, origin: str) -> CodeType:
    tree = branch.preinstrument(ast.parse(source))
    code: CodeType = _measured.instrument(compile(tree, origin, "exec", dont_inherit=True))
    return code


class _Loader(SourceFileLoader):
    """Loads a file of `plugins/`, measured. slipcover's own would instrument it each time."""

    def get_code(self, fullname: str) -> CodeType:
        return _instrumented(self.get_data(self.path), self.path)


@functools.wraps(_find_spec)
def _spec(*place: Any, **more: Any) -> ModuleSpec | None:
    """Measure `plugins/` too. slipcover's own forgets packages."""
    spec = _find_spec(*place, **more)
    if spec and isinstance(spec.loader, SourceFileLoader) and _of_rooms.matches(spec.origin):
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
    return spec


importlib.util.spec_from_file_location = _spec


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was seen to the process that writes the report, or write it."""
    seen = _measured.get_coverage()
    if "PYTEST_XDIST_WORKER" in os.environ:
        session.config.workeroutput["measured"] = json.dumps(seen)  # type: ignore[attr-defined]
        return
    for other in _of_workers:
        slipcover.merge_coverage(seen, other)
    REPORT.write_text(json.dumps(seen), encoding="utf-8")


def pytest_testnodedown(node: Any) -> None:
    """Keep what a worker saw. One that crashed tells nothing."""
    if "measured" in getattr(node, "workeroutput", {}):
        _of_workers.append(json.loads(node.workeroutput["measured"]))
