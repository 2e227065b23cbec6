"""`app.yml` as it is given out: read once, and nobody's copy is another's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zekt_bot.github.manifest import manifest

if TYPE_CHECKING:
    import pytest


def test_its_file_is_read_once_and_each_caller_has_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    first = manifest("orchestrator", "https://zekt.example")
    monkeypatch.delattr(Path, "read_text")
    first["name"] = "Another"
    first["hook_attributes"].clear()
    first["default_events"].clear()
    again = manifest("orchestrator", "https://other.example/")
    assert again["name"] != "Another"
    assert again["hook_attributes"]["url"] == "https://other.example/webhooks/github"
    assert "workflow_run" in again["default_events"]
