"""The page of limits against the code."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from tests.docs.pages import page
from zekt_bot import schemas
from zekt_bot.db import consents, retention
from zekt_bot.domain import catalog, deliveries, lists, messages, shield
from zekt_bot.pipeline import pages, render, verify
from zekt_bot.plugins import calls, load
from zekt_bot.plugins.loading import module_name
from zekt_bot.web.api import edge
from zekt_bot.web.console import repositories, sign_in

load()  # imports the built-ins
GUARD: Any = sys.modules[module_name("guard")]
LIMITS = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", page("reference/limits.md"), re.MULTILINE))


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("a webhook's body", f"{verify.MOST_BYTES:,} bytes"),
        ("`client_payload`", f"{render.MOST_BYTES:,} bytes"),
        (
            "a call of a deciding or advising hook",
            f"{calls.LIMIT.total_seconds() * 1000:.0f} milliseconds",
        ),
        ("a message", f"{messages.MOST_BYTES:,} bytes, {messages.MOST_DEPTH} levels"),
        (
            "messages of a run",
            f"{messages.MOST_OF_A_RUN}, and {messages.MOST_BYTES_OF_A_RUN:,} bytes",
        ),
        (
            "how late a message follows its run",
            f"{messages.MOST_LATE.total_seconds() / 3600:.0f} hours",
        ),
        ("how long a message waits for its run's end", f"{retention.LONGEST_RUN.days} days"),
        ("an API call's body", f"{edge.MOST_BYTES:,} bytes"),
        ("tries to sign in, and to begin the setup", f"{sign_in.MOST_TRIES} a minute"),
        (
            "looking a repository up by its name, enabling, disabling and deleting, "
            "coming back from GitHub, downloads",
            f"{repositories.MOST_QUESTIONS} a minute",
        ),
        ("what the page Consent counts", f"up to {consents.MOST_COUNTED:,}"),
        ("time to try", f"{deliveries.GIVE_UP_AFTER.total_seconds() / 3600:.0f} hours"),
        ("a decision that fails", f"{pages.MOST_FAILURES} times"),
        ("secrets in a message", f"{GUARD._MOST_FOUND}, "),
        ("a service's JSON Schema", f"{schemas.MOST_BYTES:,} bytes"),
        ("Shield keys of a repository, or of an account", f"{shield.MOST_KEYS}, "),
        ("event types of a service or a subscription", f"{catalog.MOST_NAMED}"),
        ("a page of a list", f"{lists.MOST_ROWS:,} rows"),
    ],
)
def test_a_limit_is_the_codes(what: str, limit: str) -> None:
    assert LIMITS[what].startswith(limit)
