"""What is looked at on every page: does it fit, is it accessible, in both themes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Error

from zekt_bot.web.console.routes import PAGES

if TYPE_CHECKING:
    from playwright.async_api import Page

WIDTHS = (320, 360, 390, 768, 1280)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_AXE_WIDTHS = (390, 1280)
_HEIGHT = 800
# WCAG 2.2 A and AA, and what axe recommends beyond.
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_AXE = {"runOnly": {"type": "tag", "values": list(_RULES)}, "resultTypes": ["violations"]}
# Every element that reaches beyond the window, unless it scrolls by itself or is hidden from sight.
_BEYOND = """() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const wide = [...document.body.querySelectorAll("*")].filter(
    (each) => each.getBoundingClientRect().right > root.clientWidth + 0.5);
  return [`${root.scrollWidth} of ${root.clientWidth}`,
    ...wide.slice(-3).map((each) => each.outerHTML.slice(0, 120))];
}"""
# By how much what was painted moved afterwards, which nobody did anything for.
_MOVED = """() => new Promise((done) => {
  let moved = 0;
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) if (!each.hadRecentInput) moved += each.value;
  }).observe({type: "layout-shift", buffered: true});
  requestAnimationFrame(() => requestAnimationFrame(() => done(moved)));
})"""


def paths(**values: str) -> list[str]:
    """Where every page that only shows something is; `values` fill what their paths leave open.

    A page with a part that nobody fills raises KeyError: give it a value where this is called.
    """
    return [_filled(page.path, values) for page in PAGES if page.method == "GET"]


def _filled(path: str, values: dict[str, str]) -> str:
    parts = []
    for part in path.split("/"):
        name = part.removeprefix("{").removesuffix("}").partition(":")[0]
        parts.append(values[name] if part.startswith("{") else part)
    return "/".join(parts)


class Looks:
    """What is wrong with the pages that were looked at; each is looked at once."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.seen: set[str] = set()

    async def at_each(self, page: Page, base: str, paths: list[str]) -> None:
        """Open them one by one; where one leads on, what is there is looked at."""
        for path in paths:
            try:
                await page.goto(base + path)
            except Error as error:
                if "Download is starting" not in str(error):
                    raise
            else:
                await self.at(page)

    async def at(self, page: Page) -> None:
        """Look at the page that is open."""
        words = await page.locator("body").inner_text()
        if words in self.seen:
            return
        self.seen.add(words)
        moved = await page.evaluate(_MOVED)
        if moved:
            self.wrong.append(f"{page.url}: what was there moved by {moved} as it was opened")
        for theme in THEMES:
            # Colours that are on their way from one theme to the other would be judged else.
            await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": _HEIGHT})
                await self._fits(page, f"{page.url} {theme} {width}")
                if width in _AXE_WIDTHS:
                    await self._is_accessible(page, f"{page.url} {theme} {width}")

    async def _fits(self, page: Page, where: str) -> None:
        beyond = await page.evaluate(_BEYOND)
        if beyond:
            self.wrong.append(f"{where}: too wide: {beyond}")

    async def _is_accessible(self, page: Page, where: str) -> None:
        found = await Axe().run(page, options=_AXE)
        for each in found.response["violations"]:
            self.wrong.append(f"{where}: {each['id']}: {_nodes(each)}")


def _nodes(violation: dict[str, Any]) -> str:
    told = [f"{node['html'][:160]} ({node['failureSummary']})" for node in violation["nodes"][:2]]
    return " | ".join(told).replace("\n", " ")
