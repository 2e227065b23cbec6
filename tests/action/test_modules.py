"""The Action's files: what each does by itself, and that they stand alone."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.action.running import ACTION, NODE
from tests.docs.pages import DOCS, page, section, table

MODULES = sorted(ACTION.glob("*.mjs"))
VECTORS = DOCS / "reference/shield-vectors.json"


def node(script: str, **environment: str) -> Any:
    """What a script that imports the Action's files answers by `answer(value)`."""
    head = "const answer = (value) => process.stdout.write(JSON.stringify(value));"
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", head + script],
        cwd=ACTION,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.name))
def test_a_module_is_sound_and_needs_nothing_but_nodejs(path: Any) -> None:
    assert subprocess.run([NODE, "--check", path], check=False).returncode == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("// SPDX-License-Identifier: 0BSD\n")
    for name in re.findall(r"from '(.*)'", text):
        assert name.startswith("node:") or (ACTION / name).is_file()
    assert "console." not in text


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_the_page_lists_what_there_is(part: str) -> None:
    told = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))[part]
    rows = table(section(page("reference/action.md"), part.capitalize()))
    assert [row[0].strip("`") for row in rows] == list(told)


def test_the_published_envelopes_open_and_ours_does() -> None:
    said = node(
        f"""
        import {{ readFileSync }} from 'node:fs';
        import {{ fingerprint, open, seal }} from './shield.mjs';
        const all = JSON.parse(readFileSync({json.dumps(str(VECTORS))}));
        const own = seal(Buffer.from(all.clear), [all]);
        const envelopes = [...Object.values(all.envelopes), own];
        const clear = envelopes.map((each) => open(each, all.privateKey).toString());
        answer([fingerprint(all.publicKey) === all.fingerprint, clear.map((c) => c === all.clear)]);
        """
    )
    assert said == [True, [True, True, True]]


def test_each_wait_is_longer_has_an_end_and_is_never_shorter_than_asked_for() -> None:
    waits = node(
        """
        import { pause } from './zekt.mjs';
        const tries = [0, 1, 2, 3, 20];
        answer([0, 1].map((chance) => tries.map((tried) => pause(tried, 0, chance))));
        """
    )
    assert waits == [[125, 250, 500, 1000, 10_000], [250, 500, 1000, 2000, 20_000]]
    assert node("import { pause } from './zekt.mjs'; answer(pause(0, 7000, 0));") == 7125


def test_what_others_wrote_is_no_command_to_the_runner() -> None:
    text = json.dumps(" ::warning::x\r\n::error::y\u2028##[error]z\u202e")
    line = node(f"import {{ oneLine }} from './runner.mjs'; answer(oneLine({text}));")
    assert line == ": :warning::x ::error::y ## [error]z "


ASK = """
import { Zekt } from './zekt.mjs';
const zekt = new Zekt('https://zekt.example', '', PATIENCE);
answer(await zekt.post('/', {}).catch((error) => error.message));
"""


def test_patience_has_an_end() -> None:
    told = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/?a=1"}
    said = node(ASK.replace("PATIENCE", "1"), ACTIONS_ID_TOKEN_REQUEST_TOKEN="a token", **told)
    assert said.startswith("GitHub cannot be asked (http://127.0.0.1:9): it ")


async def test_a_proxy_is_used() -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(line)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        said = await asyncio.to_thread(
            node,
            ASK.replace("PATIENCE", "60_000"),
            http_proxy=f"http://127.0.0.1:{port}",
            ACTIONS_ID_TOKEN_REQUEST_URL="http://issuer.example/token?a=1",
            ACTIONS_ID_TOKEN_REQUEST_TOKEN="a token",
        )
    assert said.startswith("GitHub gives this job no token (401)")
    assert asked[0].startswith(b"CONNECT issuer.example:80 ")
    assert asked[1].startswith(b"GET /token?a=1&audience=https%3A%2F%2Fzekt.example ")
