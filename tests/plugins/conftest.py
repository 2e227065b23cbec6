from __future__ import annotations

from tests.github.conftest import clock, credentials, fake, github, session, settings
from tests.plugins.sending import send

__all__ = ["clock", "credentials", "fake", "github", "send", "session", "settings"]
