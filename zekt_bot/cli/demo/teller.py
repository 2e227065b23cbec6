"""Prints the demo's story and keeps what was found good or bad."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.text import Text

from zekt_bot.cli.output import console, plain


@dataclass
class Teller:
    """Prints the story and keeps what was found good or bad."""

    checks: list[tuple[bool, str]] = field(default_factory=list)
    _steps: int = 0

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._steps += 1
        console().print(Text(f"\n{self._steps}. {plain(title)}", style="bold"))

    def say(self, text: str, style: str = "") -> None:
        """A line of the present step."""
        console().print(Text(f"   {plain(text)}", style=style))

    def check(self, good: bool, what: str) -> None:
        """Keep for the end whether `what` holds."""
        self.checks.append((good, what))

    def conclude(self) -> bool:
        """Print the checks; whether all hold."""
        console().print(Text("\nAs it should be?", style="bold"))
        for good, what in self.checks:
            mark = Text("   ✓ ", "green") if good else Text("   ✗ ", "red")
            console().print(mark + Text(plain(what)))
        good = all(held for held, _ in self.checks)
        console().print(
            Text("\nAll as it should be.", "bold green")
            if good
            else Text("\nSomething was not as it should be.", "bold red")
        )
        return good
