"""A plugin with a channel whose settings it checks."""

from __future__ import annotations

PIGEON = """
from zekt_bot import Outcome, hookimpl


class Pigeon:
    name = "pigeon"

    def check(self, settings):
        if settings.get("loft") != "north":
            raise ValueError("name the loft.")
        return "loft.example"

    async def send(self, request, client):
        return Outcome("dispatched", status=204)


@hookimpl
def zekt_channels():
    return [Pigeon()]
"""
