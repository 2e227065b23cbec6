"""Finding plugins: the built-ins, installed packages, a folder; and what is wrong with them."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zekt_bot.errors import PluginRejected
from zekt_bot.plugins.registry import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.metadata import EntryPoint

BUILT_IN = ("auth", "guard", "aggregation", "dispatch", "audit")
GROUP = "zekt"

try:
    ZEKT_VERSION: str | None = version("zekt-bot")
except PackageNotFoundError:  # pragma: no cover - only in a tree that nobody installed
    ZEKT_VERSION = None


def built_in_folder() -> Path:
    """`plugins/` beside the package in a checkout, else the copy inside the wheel."""
    package = Path(__file__).parents[1]
    checkout = package.parent / "plugins"
    beside = (package.parent / "pyproject.toml").is_file() and checkout.is_dir()
    return checkout if beside else package / "_builtin"


def found(folder: Path | None, disabled: Sequence[str]) -> Iterator[tuple[Plugin, Any]]:
    """Every plugin that is not disabled, imported, in the order in which they are registered.

    Raises:
        PluginRejected: naming the plugin that cannot be imported, the folder that is not there, or
            the disabled plugin that there is not: another one might go on in its stead.
    """
    there = list(_there(folder))
    names = [plugin.name for plugin, _ in there]
    for name in disabled:
        if name not in names:
            raise PluginRejected(
                f"ZEKT_DISABLED_PLUGINS: there is no plugin {name}, only {', '.join(names)}."
            )
    for plugin, read in there:
        if plugin.name not in disabled:
            yield plugin, _imported(plugin.name, read)


def _there(folder: Path | None) -> Iterator[tuple[Plugin, Callable[[], Any]]]:
    """Every plugin and how it is imported."""
    home = built_in_folder()
    for name in BUILT_IN:
        path = home / f"{name}.py"
        yield Plugin(name, ZEKT_VERSION, "built-in", module_name(name)), partial(_module, path)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        yield _installed(point), point.load
    if folder and not folder.is_dir():
        raise PluginRejected(f"ZEKT_PLUGINS_DIR: there is no folder {folder}.")
    extra = folder or (home if home.name == "plugins" else None)
    for path in sorted(extra.glob("*.py")) if extra else ():
        own = path.parent.resolve() == home.resolve() and path.stem in BUILT_IN
        if not own:
            yield Plugin(path.stem, None, str(path), module_name(path.stem)), partial(_module, path)


def _installed(point: EntryPoint) -> Plugin:
    of = point.dist
    origin, version = (of.name, of.version) if of else (point.value, None)
    return Plugin(point.name, version, origin, point.module.partition(".")[0])


def module_name(stem: str) -> str:
    """The module that a plugin's file becomes."""
    return f"zekt_plugin_{stem}"


def _imported(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginRejected(
            f"The plugin {name} cannot be imported: {type(error).__name__}: {error}. Mend it, "
            "or name it in ZEKT_DISABLED_PLUGINS."
        ) from error


def _module(path: Path) -> Any:
    name = module_name(path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:  # pragma: no cover - only for endings other than .py
        raise PluginRejected(f"The plugin {path} cannot be read.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
