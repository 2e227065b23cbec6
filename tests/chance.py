"""Chance that can be had again: a test that drew its moments says from which seed."""

from __future__ import annotations

import os
import random
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "ZEKT_TEST_SEED"


@contextmanager
def seeded() -> Iterator[random.Random]:
    """Chance from `ZEKT_TEST_SEED`, else from a fresh seed; a failure within names the seed."""
    seed = int(os.environ.get(_NAME) or secrets.randbits(32))
    try:
        yield random.Random(seed)
    except BaseException as error:
        error.add_note(f"The same moments again: {_NAME}={seed}")
        raise
