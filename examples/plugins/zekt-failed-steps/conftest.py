# SPDX-License-Identifier: 0BSD
"""A Zekt with the plugin."""

from __future__ import annotations

import pytest
import zekt_failed_steps

pytest_plugins = ["zekt_bot.testing.fixtures"]


@pytest.fixture
def zekt_plugins():
    return [zekt_failed_steps]
