"""The Action's files: what each does by itself, and that they stand alone."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from tests.action.running import ACTION, NODE, read
from tests.docs.pages import DOCS, page, section, table
from tests.shielding import private_key, private_pem
from zekt_bot.domain import messages

if TYPE_CHECKING:
    from pathlib import Path

MODULES = sorted(ACTION.glob("*.mjs"))
KEPT = {  # of zekt-action 2 and 3
    "inputs": {
        *("event-type", "payload", "zekt-api-url", "shield"),
        *("orchestrate", "execution_mode", "wait", "orchestration-api-url"),
    },
    "outputs": {"event-id", "status", "consumers-notified", "execution_id"},
}
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


def test_the_modules_need_nothing_but_nodejs_and_each_other() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("// SPDX-License-Identifier: 0BSD\n")
        for name in re.findall(r"from '(.*)'", text):
            assert name.startswith("node:") or ACTION / name in MODULES


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_the_page_lists_what_there_is(part: str) -> None:
    told = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))[part]
    rows = table(section(page("reference/action.md"), part.capitalize()))
    assert [row[0].strip("`") for row in rows] == list(told)
    assert set(told) >= KEPT[part]


@pytest.mark.parametrize(
    ("module", "name", "value", "said"),
    [
        ("send", "MOST_BYTES", messages.MOST_BYTES, f"{messages.MOST_BYTES:,} bytes"),
        ("receive", "MOST_OUTPUT", 65_536, "65,536 bytes"),
        ("receive", "PATIENCE", 30_000, "30 seconds of the post step"),
        ("zekt", "PATIENCE", 120_000, "two minutes"),
        ("zekt", "ANSWER", 30_000, "30 seconds"),
    ],
)
def test_the_page_tells_the_limits(module: str, name: str, value: int, said: str) -> None:
    assert f"const {name} = {value:_};" in (ACTION / f"{module}.mjs").read_text("utf-8")
    assert said in section(page("reference/action.md"), "Limits")


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
    assert said == [True, [True] * 5]


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
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        told = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/?a=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a token",
        }
        said = node(ASK.replace("PATIENCE", "100"), **told)
        assert said == f"GitHub cannot be asked ({url}): it did not answer in time."
        told["ACTIONS_ID_TOKEN_REQUEST_URL"] = "http://127.0.0.1:1/?a=1"  # which fetch refuses
        said = node(ASK.replace("PATIENCE", "100"), **told)
    assert said == "GitHub cannot be asked (http://127.0.0.1:1): it cannot be reached, bad port."


def test_an_output_holds_any_text(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    texts = ["", "\n", "a\r\nb\r", "x<<end\ny\nend\n", "\n\nname=value", "%0A ::error::é\u2028"]
    script = f"{json.dumps(texts)}.forEach((text, at) => output('o' + at, text)); answer(1);"
    node(f"import {{ output }} from './runner.mjs'; {script}", GITHUB_OUTPUT=str(file))
    assert list(read(file).values()) == texts


def test_what_is_hidden_is_hidden_once_and_has_an_end() -> None:
    script = """
        import { mask } from './runner.mjs';
        const [write, told] = [process.stdout.write, []];
        process.stdout.write = (text) => told.push(text);
        mask('short\\n-----BEGIN X-----\\n  50% of it  \\r\\n' + 'line of it\\n'.repeat(3));
        mask(Array.from({ length: 2000 }, (_, at) => `line ${1000 + at}`).join('\\n'));
        process.stdout.write = write;
        answer(told);
    """
    told = node(script)
    assert told[:2] == ["::add-mask::50%25 of it\n", "::add-mask::line of it\n"]
    assert len(told) == 2 + 1000


def test_a_table_holds_no_markup_of_others(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    script = "summarize('Title', Array(102).fill(['<b>', 'x\\n\\n| # \"&'])); answer(1);"
    node(f"import {{ summarize }} from './runner.mjs'; {script}", GITHUB_STEP_SUMMARY=str(file))
    rows = "<tr><th>&lt;b&gt;</th><td>x | # &quot;&amp;</td></tr>" * 100
    rows += "<tr><th>…</th><td>2 more</td></tr>"  # a page takes a megabyte
    assert file.read_text("utf-8") == f"<h3>Title</h3>\n<table>{rows}</table>\n\n"


async def test_a_certificate_that_nobody_vouches_for_ends_it_and_says_how_to_vouch(
    tmp_path: Path,
) -> None:
    files = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*files)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0, ssl=tls) as issuer:
        port = issuer.sockets[0].getsockname()[1]
        told = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"https://127.0.0.1:{port}/?a=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a token",
        }
        script = ASK.replace("PATIENCE", "60_000")
        unknown = await asyncio.to_thread(node, script, **told)
        trusted = {"NODE_EXTRA_CA_CERTS": str(files[0])}
        known = await asyncio.to_thread(node, script, **told, **trusted)
    assert "DEPTH_ZERO_SELF_SIGNED_CERT" in unknown
    assert "set NODE_EXTRA_CA_CERTS" in unknown
    assert known.startswith("GitHub gives this job no token (401)")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that it vouches for itself, and its key."""
    key, now = private_key(0), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(private_pem(key))
    return files


OLDER = """
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
delete http.setGlobalProxyFromEnv;
syncBuiltinESMExports();
"""


@pytest.mark.parametrize("older", [False, True])
async def test_a_proxy_is_used(tmp_path: Path, older: bool) -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(line)
        await writer.drain()
        writer.close()

    (tmp_path / "older.mjs").write_text(OLDER)
    told = {
        "INPUT_EVENT-TYPE": "x",
        "INPUT_ZEKT-API-URL": "https://zekt.example",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "http://issuer.example/token?a=1",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a token",
        "NODE_OPTIONS": f"--import={tmp_path / 'older.mjs'}" if older else "",
    }
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        told["http_proxy"] = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        words = [NODE, ACTION / "main.mjs"]
        ended = await asyncio.to_thread(
            subprocess.run, words, env=told, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stdout.startswith("::error title=Zekt::GitHub gives this job no token (401)")
    assert asked[0].startswith(b"CONNECT issuer.example:80 ")
    assert asked[1].startswith(b"GET /token?a=1&audience=https%3A%2F%2Fzekt.example ")


def test_what_is_no_proxys_address_is_told() -> None:
    wrong = "import { Zekt } from './zekt.mjs'; try { new Zekt('https://x') } "
    said = node(wrong + "catch (error) { answer(error.message) }", HTTPS_PROXY="me:secret@host:1")
    assert said.startswith("HTTPS_PROXY or HTTP_PROXY of this runner is no address")
