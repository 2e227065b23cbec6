from __future__ import annotations

from tests.github.conftest import clock, credentials, fake, github, session, settings

__all__ = ["clock", "credentials", "fake", "github", "session", "settings"]
