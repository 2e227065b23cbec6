"""The guard: each kind of secret is found wherever it stands, and nothing else is touched."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from tests.factories import repository, service
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.messages import Accepted, IncomingMessage, MessagePolicy, Redaction
from zekt_bot.errors import MessageRefused
from zekt_bot.plugins import load
from zekt_bot.plugins.loading import module_name

PLUGINS = load()
GUARD: Any = sys.modules[module_name("guard")]
REPOSITORY = repository(1)
# In parts, so that no scanner takes this file for one that leaks.
SECRETS = {
    "age_key": "AGE-SECRET-" + "KEY-1" + "Q" * 58,
    "anthropic_key": "sk-" + "ant-api03-" + "a1-_" * 20,
    "aws_access_key": "AK" + "IA" + "IOSFODNN7EXAMPLE",
    "databricks_token": "da" + "pi" + "0a" * 16,
    "digitalocean_token": "do" + "p_v1_" + "0f" * 32,
    "docker_token": "dckr" + "_pat_" + "aB3_-" * 6,
    "github_fine_grained_token": "github" + "_pat_" + "11AAAAAAA0" * 8,
    "github_token": "gh" + "p_" + "aB3" * 12,
    "gitlab_token": "gl" + "pat-" + "aB3_-" * 4,
    "google_api_key": "AI" + "za" + "SyA-_" * 7,
    "google_client_secret": "GOC" + "SPX-" + "aB3_" * 7,
    "google_token": "ya" + "29." + "a0Af_-" * 8,
    "huggingface_token": "hf" + "_" + "aB3" * 12,
    "jwt": "ey" + "JhbGciOi." + "ey" + "JzdWIiOi." + "sflKxwRJ-_" * 4,
    "npm_token": "npm" + "_" + "aB3" * 12,
    "openai_key": "sk-" + "proj-" + "aB3_-" * 10,
    "private_key": "-----BEGIN RSA " + "PRIVATE KEY-----\nProc-Type: 4\n\nMIIE+/=\n"
    "-----END RSA " + "PRIVATE KEY-----",
    "pypi_token": "pypi-" + "AgEIcHlwaS5vcmc" + "aB3_-" * 12,
    "sendgrid_key": "SG" + "." + "a" * 22 + "." + "b" * 43,
    "shopify_token": "shp" + "at_" + "0aF" * 12,
    "slack_token": "xo" + "xb-1234567890-" + "aB3" * 8,
    "slack_webhook": "hooks.slack" + ".com/services/T000/B000/" + "aB3" * 8,
    "stripe_key": "sk" + "_live_" + "aB3" * 8,
    "telegram_token": "123456789" + ":AA" + "aB3_-" * 7,
    "terraform_token": "aB3" * 4 + "aB" + ".atlas" + "v1." + "aB3_-" * 12,
    "twilio_key": "S" + "K" + "0a" * 16,
    "vault_token": "hv" + "s." + "aB3_-" * 8,
    "webhook_secret": "wh" + "sec_" + "aB3/" * 8,
}
AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"
# What stands before the secret, the secret, what stands behind it.
WITHIN = {
    "authorization": ("Authorization: Bearer ", "aB3._~+/-" * 3, ""),
    "aws_secret_key": ("export AWS_SECRET_ACCESS_KEY='", AWS, "'"),
    "azure_storage_key": ("AccountName=me;AccountKey=", "aB3/" * 21 + "==", ";Suffix"),
    "url_password": ("see postgres://me:", "p4ss!word", "@db.example:5432/x"),
}
FOUND = {kind: ("a ", secret, " b") for kind, secret in SECRETS.items()} | WITHIN
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


async def guarded(body: bytes, secrets: Any = "redact", schema: str | None = None) -> Accepted:
    whole = service("released")
    profile = replace(whole.profile, secrets=secrets, message_schema=schema)
    whole = replace(whole, profile=profile)
    message = IncomingMessage(RunKey(1, 7, 1), "released", body)
    return await PLUGINS.accept_message(message, MessagePolicy(REPOSITORY, whole))


def marked(kind: str) -> str:
    before, _, after = FOUND[kind]
    return f"{before}[REDACTED:{kind}]{after}"


def at(found: Any, path: str) -> Any:
    """What a JSON Pointer leads to."""
    for part in path.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found[int(name)] if isinstance(found, list) else found[name]
    return found


def test_every_kind_has_an_example() -> None:
    assert set(FOUND) == set(GUARD.KINDS)


@pytest.mark.parametrize("kind", FOUND)
async def test_a_secret_is_taken_out_and_told_by_path_and_kind(kind: str) -> None:
    text = "".join(FOUND[kind])
    accepted = await guarded(orjson.dumps({"a": [1, {"b/c": text}]}))
    assert orjson.loads(accepted.body) == {"a": [1, {"b/c": marked(kind)}]}
    assert accepted.redactions == (Redaction("/a/1/b~1c", kind),)
    assert FOUND[kind][1] not in repr(accepted)


@pytest.mark.parametrize(
    "token",
    [
        *(f"gh{letter}_" + "aB3" * 12 for letter in "oprsu"),
        "ghs_" + ("aB3.x-y_" * 66)[:520],
    ],
)
async def test_every_token_of_github_is_one(token: str) -> None:
    accepted = await guarded(orjson.dumps(f"({token})"))
    assert accepted.body == b'"([REDACTED:github_token])"'
    assert accepted.redactions == (Redaction("", "github_token"),)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("AWS_SECRET_ACCESS_KEY", AWS, "aws_secret_key"),
        ("secretAccessKey", AWS, "aws_secret_key"),
        ("Authorization", "Basic dXNlcjpwYXNzd29yZA==", "authorization"),
    ],
)
async def test_a_name_tells_what_stands_under_it(name: str, value: str, kind: str) -> None:
    accepted = await guarded(json.dumps({name: value}, indent=8).encode())
    assert accepted.redactions == (Redaction(f"/{name}", kind),)
    assert AWS.encode() not in accepted.body
    assert b"dXNlcjpwYXNzd29yZA" not in accepted.body
    assert await guarded(orjson.dumps({"digest": AWS})) == Accepted(orjson.dumps({"digest": AWS}))


async def test_a_name_and_its_value_are_no_secret_together() -> None:
    name, token = "http://host:8080", SECRETS["github_token"]
    accepted = await guarded(orjson.dumps({name: f"me@example.org {token}"}))
    assert orjson.loads(accepted.body) == {name: "me@example.org [REDACTED:github_token]"}


async def test_a_secret_in_a_key_is_told_without_itself() -> None:
    token = SECRETS["github_token"]
    accepted = await guarded(b'{"%s": {"x": ["%s"]}, "y": 1e300}' % ((token.encode(),) * 2))
    mark = "[REDACTED:github_token]"
    assert accepted.body == f'{{"{mark}": {{"x": ["{mark}"]}}, "y": 1e300}}'.encode()
    assert [each.path for each in accepted.redactions] == [f"/{mark}", f"/{mark}/x/0"]


async def test_secrets_that_overlap_or_follow_are_all_gone() -> None:
    token, url = SECRETS["github_token"], "https://me:" + SECRETS["github_token"] + "@example.org"
    accepted = await guarded(orjson.dumps([f"{token} {token}", url, "-----BEGIN PRIVATE KEY-----"]))
    assert token.encode() not in accepted.body
    assert orjson.loads(accepted.body) == [
        "[REDACTED:github_token] [REDACTED:github_token]",
        "https://me:[REDACTED:github_token]@example.org",
        "[REDACTED:private_key]",
    ]


@given(PLAIN, st.sampled_from(["indent", "plain", "ascii"]))
async def test_what_is_no_secret_stays_byte_for_byte(found: Any, form: str) -> None:
    body = json.dumps(
        found, indent=3 if form == "indent" else None, ensure_ascii=form == "ascii"
    ).encode()
    assert await guarded(body) == Accepted(body)


@given(PLAIN, st.sampled_from(sorted(FOUND)), st.data())
async def test_a_secret_is_found_wherever_it_stands_however_it_is_escaped(
    beside: Any, kind: str, data: st.DataObject
) -> None:
    def escaped(character: str) -> str:
        if character == "/" and data.draw(st.booleans()):
            return r"\/"
        if data.draw(st.integers(0, 9)) == 0:
            return f"\\u{ord(character):04x}"
        return json.dumps(character)[1:-1]

    text = '"' + "".join(map(escaped, "".join(FOUND[kind]))) + '"'
    around = json.dumps(beside, ensure_ascii=False)
    big = "123456789012345678901234567890.10"
    body = f'[{around}, {{"x" : {text}, "n": {big}}}, {around}]'.encode()
    accepted = await guarded(body)
    mark = orjson.dumps(marked(kind)).decode()
    assert accepted.body == f'[{around}, {{"x" : {mark}, "n": {big}}}, {around}]'.encode()
    (told,) = accepted.redactions
    assert (at(orjson.loads(accepted.body), told.path), told.kind) == (marked(kind), kind)


async def test_a_service_may_refuse_or_keep_them() -> None:
    body = orjson.dumps({"a": SECRETS["jwt"], "b": SECRETS["npm_token"]})
    with pytest.raises(
        MessageRefused, match=r"secret_found\. jwt at /a, npm_token at /b\."
    ) as told:
        await guarded(body, "refuse")
    assert SECRETS["jwt"] not in str(told.value)
    assert told.value.data == {"plugin": "guard", "reason": "secret_found"}
    assert await guarded(body, "keep") == Accepted(body)
    assert await guarded(b"[1]", "refuse") == Accepted(b"[1]")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "a\u00a0b", "a\u202eb"])
async def test_a_refusal_is_told_on_one_line_whatever_the_keys_are(name: str) -> None:
    with pytest.raises(MessageRefused, match=r"secret_found\. jwt at /a�.*\.$"):
        await guarded(orjson.dumps({name: SECRETS["jwt"]}), "refuse")


async def test_while_the_service_is_not_known_they_are_taken_out() -> None:
    body = orjson.dumps(SECRETS["jwt"])
    message = IncomingMessage(RunKey(1, 7, 1), "released", body)
    accepted = await PLUGINS.accept_message(message, MessagePolicy(REPOSITORY, None))
    assert accepted.body == b'"[REDACTED:jwt]"'


async def test_a_message_of_nothing_but_secrets_is_refused() -> None:
    with pytest.raises(MessageRefused, match=r"at /19 and 481 more\."):
        await guarded(orjson.dumps([SECRETS["jwt"]] * 501))


async def test_a_message_that_grows_over_the_limit_is_refused() -> None:
    body = orjson.dumps(["https://me:x@example.org", "y" * 524_240])
    with pytest.raises(MessageRefused, match="too_large"):
        await guarded(body)


async def test_a_long_way_to_a_secret_is_told_in_short() -> None:
    accepted = await guarded(orjson.dumps({"k" * 1000: SECRETS["jwt"]}))
    assert accepted.redactions == (Redaction("/" + "k" * 199 + "…", "jwt"),)


async def test_what_is_stored_fits_the_schema() -> None:
    schema = '{"properties": {"token": {"const": "[REDACTED:jwt]"}}}'
    body = orjson.dumps({"token": SECRETS["jwt"]})
    assert (await guarded(body, schema=schema)).body == b'{"token":"[REDACTED:jwt]"}'
    assert await guarded(b"{}", schema=schema) == Accepted(b"{}")
    said = r"schema\. /token does not fit #/properties/token/const\."
    with pytest.raises(MessageRefused, match=said) as told:
        await guarded(body, "keep", schema)
    assert told.value.data == {"plugin": "guard", "reason": "schema"}


async def test_long_messages_leave_the_event_loops_own_threads_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold = threading.Event()
    monkeypatch.setattr(GUARD, "_clean", lambda _: hold.wait(20) and None)
    long = orjson.dumps("x" * 20_000)
    waiting = [asyncio.create_task(guarded(long)) for _ in range(40)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(15):
            await asyncio.to_thread(int)  # as names of hosts are resolved
        assert not any(task.done() for task in waiting)
    finally:
        hold.set()
    assert await asyncio.gather(*waiting) == [Accepted(long)] * 40


def work(body: bytes) -> int:
    """How many calls the guard makes, of its own functions and of the engines."""
    counted: Counter[str] = Counter()

    def count(frame: Any, event: str, _: Any) -> None:
        if frame.f_code.co_filename == GUARD.__file__ and event in {"call", "c_call"}:
            counted["calls"] += 1

    sys.setprofile(count)
    try:
        GUARD._clean(body)
    finally:
        sys.setprofile(None)
    return counted["calls"]


# What shapes begin with, go on with and end with, in strings that stand side by side or in others.
PIECES = st.sampled_from(
    [
        "a://b:",
        "c@",
        "eyJAAAAAA.",
        "-----BEGIN PRIVATE KEY-----",
        "-----END",
        "AKIA" + "X" * 16,
        "ghp_" + "a" * 36,
        "authorization: basic ",
        "SG.",
        "=",
        " ",
        "\n",
        "é",
        "\\",
        '"',
        "x" * 20,
    ]
)
UNITS = st.recursive(
    st.lists(PIECES, max_size=6).map("".join),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECES, inner, max_size=2),
    max_leaves=4,
)


@example("a://b:c@")
@example("a://b:" * 9)
@example({"eyJAAAAAA-": "AKIAXXXXXXXXXXXXXXXX"})
@example([["\\"]])
@given(UNITS)
def test_its_work_grows_as_the_message_does(unit: Any) -> None:
    def of(times: int) -> int:
        return work(orjson.dumps([unit] * times))

    of(1)  # what is made once
    few, more, most = of(10), of(20), of(40)
    assert most - more <= 2 * (more - few) * 1.1


def test_a_long_key_is_read_once_whatever_stands_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def loads(text: bytes) -> Any:
        nonlocal read
        read += len(text)
        return orjson.loads(text)

    monkeypatch.setattr(GUARD, "orjson", SimpleNamespace(loads=loads, dumps=orjson.dumps))
    body = orjson.dumps({"k" * 50_000: ["a://b:c@"] * 400})
    assert len(GUARD._clean(body).redactions) == 400
    assert read <= 2 * len(body)


def test_no_shape_backtracks() -> None:
    assert {type(shape) for shape in GUARD._SHAPES} == {type(re2.compile(b"x"))}
    tokens = GUARD._TOKEN.pattern
    assert tokens.count(b"*") == tokens.count(b"*+")
