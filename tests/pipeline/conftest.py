"""The stage on which each step is run by hand."""

from __future__ import annotations

from tests.stage import clock, stage

__all__ = ["clock", "stage"]
