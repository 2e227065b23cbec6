"""Reading Markdown: tables, sections, code blocks and links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_MADE = {"build", "node_modules", "site"}  # by us, of these same pages
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def page(name: str) -> str:
    """The text of docs/NAME."""
    return (DOCS / name).read_text(encoding="utf-8")


def every_page() -> list[Path]:
    """Every Markdown file of the repository; what is hidden or made is none of ours."""
    found = ROOT.rglob("*.md")
    return sorted(p for p in found if not _hidden(p.relative_to(ROOT)))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in _MADE for part in path.parts)


def section(text: str, title: str) -> str:
    """What stands below the heading TITLE, up to the next heading of its level or above."""
    lines, level, taken = text.splitlines(), 0, list[str]()
    fenced = False
    for line in lines:
        fenced ^= line.startswith("```")
        depth = len(line) - len(line.lstrip("#")) if line.startswith("#") and not fenced else 0
        if level and 0 < depth <= level:
            break
        if level:
            taken.append(line)
        elif depth and line[depth:].strip() == title:
            level = depth
    assert level, f"no heading {title!r}"
    return "\n".join(taken)


def table(text: str) -> list[list[str]]:
    """The cells of every table's rows whose first cell holds code, without the backticks of it."""
    rows = [line.strip().strip("|") for line in text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]
    return [[row[0].strip("`"), *row[1:]] for row in cells]


def codes(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return [code for found, code in _FENCE.findall(text) if found == language]


def links(text: str) -> list[str]:
    """The targets of all links and pictures outside code blocks."""
    prose = re.sub(r"`[^`\n]+`", "", _FENCE.sub("", text))
    return [first or second for first, second in _LINK.findall(prose)]


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to the headings."""
    found = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}
