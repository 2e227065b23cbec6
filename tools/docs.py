"""Build the documentation site from the files as they stand: `make docs`.

A page may link to a file outside docs/, as readers at GitHub expect. Such a file goes into the
site too, below repository/.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STAGE = ROOT / "build" / "docs"
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


class Stage:
    """The folder that the site is built from."""

    def __init__(self, folder: Path) -> None:
        """Begin with nothing."""
        self._folder = folder
        self._pages: list[tuple[Path, Path]] = []  # source and copy, links not turned yet
        shutil.rmtree(folder, ignore_errors=True)

    def gather(self) -> None:
        """Lay out docs/, and what it links to in the repository.

        Raises:
            ValueError: a link leads nowhere.
        """
        for source in sorted(DOCS.rglob("*")):
            if source.is_file():
                self._add(source)
        while self._pages:
            self._turn_all(*self._pages.pop())

    def _turn_all(self, source: Path, copy: Path) -> None:
        text = source.read_text(encoding="utf-8")
        turned = _LINK.sub(lambda link: self._turn(source, copy, link[1]), text)
        copy.write_text(turned, encoding="utf-8")

    def _turn(self, source: Path, copy: Path, link: str) -> str:
        """The link as it must be in the site."""
        target = (source.parent / link).resolve()
        if target.is_dir():
            target /= "README.md"
        if not target.is_file() or not target.is_relative_to(ROOT):
            raise ValueError(f"{source.relative_to(ROOT)} links to {link}: there is no such file.")
        return os.path.relpath(self._add(target), copy.parent)

    def _add(self, source: Path) -> Path:
        """Put a file into the folder, once; answers where it is."""
        if source.is_relative_to(DOCS):
            copy = self._folder / source.relative_to(DOCS)
        else:  # without the dot of a hidden file, which a site would leave out
            name = source.relative_to(ROOT)
            copy = self._folder / "repository" / name.with_name(name.name.lstrip("."))
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
            if source.suffix == ".md":
                self._pages.append((source, copy))
        return copy


def zensical() -> Path:
    """The site's generator, in the environment that runs this."""
    return Path(sys.executable).parent / "zensical"


def main() -> int:
    """Gather the pages and build the site; any warning is an error."""
    try:
        Stage(STAGE).gather()
    except ValueError as error:
        sys.exit(str(error))
    build = [str(zensical()), "build", "--strict", "--clean"]
    return subprocess.run(build, cwd=ROOT, check=False).returncode  # noqa: S603 - no word from outside


if __name__ == "__main__":
    sys.exit(main())
