"""The documentation site holds every page, builds without a warning, and has no broken link."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import DOCS, ROOT
from tools import docs

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: dict[str, Any] = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))


def pages(nav: list[Any]) -> list[str]:
    """The pages of a navigation, in order."""
    found: list[str] = []
    for entry in nav:
        inner = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found += pages(inner) if isinstance(inner, list) else [inner]
    return found


class Page(HTMLParser):
    """What a page links to, and what in it can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.add(value)
            if name == "id" and value:
                self.names.add(value)


def test_the_navigation_has_every_page_once() -> None:
    listed = pages(CONFIG["project"]["nav"])

    assert sorted(listed) == sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from the files as they stand."""
    folder = tmp_path_factory.mktemp("site")
    docs.Stage(folder / "build/docs").gather()
    config = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    (folder / "zensical.toml").write_text(config, encoding="utf-8")
    program = str(docs.zensical())
    done = subprocess.run(
        [program, "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_no_link_of_the_site_is_broken(site: Path) -> None:
    built = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}

    assert len(built) >= len(pages(CONFIG["project"]["nav"]))
    for path, page in built.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            if parts.fragment and target in built and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in built[target].names, f"{path}: {link}"


def test_files_of_the_repository_that_a_page_links_to_are_in_the_site(site: Path) -> None:
    outside = site / "repository"

    assert (outside / "examples/workflows/consumer.yml").is_file()
    assert (outside / "env.example").is_file()  # without its dot
    assert (outside / "SECURITY/index.html").is_file()


def test_a_link_that_leads_nowhere_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "page.md").write_text("[there](nothing.md)", encoding="utf-8")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "DOCS", source)

    with pytest.raises(ValueError, match=r"docs/page\.md links to nothing\.md"):
        docs.Stage(tmp_path / "build").gather()


def test_it_needs_this_environment_alone() -> None:
    assert str(docs.zensical()).startswith(sys.prefix)
