"""The stage; what a test needs besides stands in `news.py`."""

from __future__ import annotations

from tests.stage import clock, stage

__all__ = ["clock", "stage"]
