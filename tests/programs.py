"""Programs that a test needs and that a machine with Python, git and make may not have."""

from __future__ import annotations

import shutil

import pytest


def needs(*names: str) -> pytest.MarkDecorator:
    """Leave a test out where one of these is missing, and say which."""
    missing = [name for name in names if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
