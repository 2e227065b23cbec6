"""The domain and the errors stand on no framework."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import zekt_bot.domain

FRAMEWORKS = {"aiohttp", "sqlalchemy", "pluggy", "asyncpg", "structlog", "octomachinery"}


def test_the_domain_and_the_errors_load_no_framework() -> None:
    names = [
        f"zekt_bot.domain.{module.name}"
        for module in pkgutil.iter_modules(zekt_bot.domain.__path__)
    ]
    code = f"import sys, zekt_bot.errors, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not FRAMEWORKS & set(done.stdout.split())
    assert set(names) <= set(done.stdout.split())
