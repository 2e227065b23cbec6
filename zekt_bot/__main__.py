"""The command `zekt`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from zekt_bot.cli import zekt


def main() -> None:
    """Run the command line."""
    open_streams()
    print_anywhere()
    zekt(prog_name="zekt")


def open_streams() -> None:
    """Print nowhere where a stream is closed (`2>&-`), instead of ending in an error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - to the end


def print_anywhere() -> None:
    """Print as an escape what the streams' encoding lacks, instead of ending in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
