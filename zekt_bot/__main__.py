"""The command `zekt`."""

from __future__ import annotations

from zekt_bot.cli import zekt


def main() -> None:
    """Run the command line."""
    zekt(prog_name="zekt")


if __name__ == "__main__":
    main()
