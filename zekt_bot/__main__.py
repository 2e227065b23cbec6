"""The command `zekt`."""

from __future__ import annotations

from zekt_bot.cli import zekt
from zekt_bot.cli.output import print_anywhere


def main() -> None:
    """Run the command line."""
    print_anywhere()
    zekt(prog_name="zekt")


if __name__ == "__main__":
    main()
