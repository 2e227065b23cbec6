"""The command `zekt`."""

from __future__ import annotations

import io
import sys

from zekt_bot.cli import zekt


def main() -> None:
    """Run the command line."""
    print_anywhere()
    zekt(prog_name="zekt")


def print_anywhere() -> None:
    """Print as an escape what the streams' encoding lacks, instead of ending in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
