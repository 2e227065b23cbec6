"""Real processes that do the same thing at the same moment."""

from __future__ import annotations

import subprocess
import sys

_WAIT = "\nprint('ready', flush=True)\nsys.stdin.read()\n"


def all_at_once(count: int, imports: str, work: str, *arguments: str) -> list[str]:
    """What each process printed. They run `work` together, once all have done the `imports`."""
    code = f"import sys\n{imports}{_WAIT}{work}"
    command = [sys.executable, "-c", code, *arguments]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    ended = [process.communicate(timeout=120) for process in started]
    for process, (_, said) in zip(started, ended, strict=True):
        assert process.returncode == 0, said
    return [out for out, _ in ended]
