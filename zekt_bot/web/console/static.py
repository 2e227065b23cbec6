"""Style, script and mark: each under a name with the hash of its content, kept for ever."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import NamedTuple

from aiohttp import web

FOLDER = "/static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A file as it is served."""

    path: str
    body: bytes
    content_type: str


def _read() -> dict[str, Asset]:
    """Every file; the style sheet last, since it names the others."""
    files = resources.files(__package__).joinpath("static").iterdir()
    found: dict[str, Asset] = {}
    for file in sorted(files, key=lambda each: each.name.endswith(".css")):
        body = file.read_bytes()
        for name, other in found.items():
            body = body.replace(f'url("{name}")'.encode(), f'url("{other.path}")'.encode())
        stem, dot, kind = file.name.rpartition(".")
        named = f"{stem}.{hashlib.sha256(body).hexdigest()[:16]}{dot}{kind}"
        found[file.name] = Asset(f"{FOLDER}/{named}", body, _TYPES[dot + kind])
    return found


_BY_NAME = _read()
_BY_PATH = {asset.path: asset for asset in _BY_NAME.values()}


def asset(name: str) -> str:
    """The path under which `name` is served."""
    return _BY_NAME[name].path


async def serve(request: web.Request) -> web.Response:
    """A file of the console, under its present name only."""
    found = _BY_PATH.get(request.path)
    if found is None:
        raise web.HTTPNotFound
    return web.Response(
        body=found.body,
        content_type=found.content_type,
        charset="utf-8",
        headers={"Cache-Control": _FOR_EVER},
    )
