"""Every benchmark, one after the other; what is said on the command line is said to each."""

from __future__ import annotations

import os
import subprocess
import sys

NAMES = (
    "ingest",
    "delivery",
    "end_to_end",
    "messages",
    "large",
    "waiting",
    "scale",
    "workers",
    "fairness",
    "idle",
)


def main() -> None:
    """Run all, also after one that failed; exit with 1 if any did."""
    more = ["--record"] if os.environ.get("RECORD") else []
    failed = [
        name
        for name in NAMES
        if subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *more, *sys.argv[1:]], check=False
        ).returncode
    ]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
