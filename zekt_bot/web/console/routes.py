"""Every page, and who has to be there for it."""

from __future__ import annotations

from zekt_bot.web.console import preferences
from zekt_bot.web.console.gate import Page

PAGES = (Page("POST", "/preferences/theme", preferences.theme, "nobody"),)
