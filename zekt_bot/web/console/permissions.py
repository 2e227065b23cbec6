"""What Zekt does with each permission of its Apps, in the reader's words."""

from __future__ import annotations

USES = {
    "actions": "To hear of workflow runs and their jobs, and to read them again.",
    "contents": (
        "To start workflows: GitHub takes a repository_dispatch from nobody without it. Zekt "
        "writes no file. When you have a subscription checked, it reads that repository's workflow "
        "files."
    ),
    "metadata": "GitHub gives it to every App: names and ids of the repositories granted.",
}
NO_USE = "Nothing. app.yml does not ask for it: the operator can take it out of the App at GitHub."
