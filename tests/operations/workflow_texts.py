"""Texts of workflow files, and what is read in them."""

from __future__ import annotations

from zekt_bot.operations.preflight.workflow_files import WorkflowFile, read

ON = "on: repository_dispatch\n"
PAYLOAD = "github.event.client_payload"


def workflow(text: str) -> WorkflowFile:
    """What a file says, which must be readable."""
    found = read(text.encode())
    assert isinstance(found, WorkflowFile), found
    return found


def script(code: str, *, key: str = "run") -> str:
    """A workflow whose one step runs this code, from line 6 on."""
    body = "\n".join(f"          {line}" for line in code.splitlines())
    return f"{ON}jobs:\n  build:\n    steps:\n      - {key}: |\n{body}\n"
