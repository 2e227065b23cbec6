"""The guard: each kind of secret is found wherever it stands, and nothing else is touched."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import repository, service
from tests.plugins.guarding import AWS, FOUND, GUARD, PLUGINS, SECRETS
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.messages import Accepted, IncomingMessage, MessagePolicy, Redaction
from zekt_bot.errors import MessageRefused

REPOSITORY = repository(1)
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


AWS_ID = SECRETS["aws_access_key"]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("amqp://me:p@ss@w0rd@mq/x", "amqp://me:[REDACTED:url_password]@mq/x"),
        ("mysql://me:pa'ss@db", "mysql://me:[REDACTED:url_password]@db"),
        ("['http://one:80','me@example.org']", None),
        ("'http://one:80'@2", None),
        (f"key_{AWS_ID}_1", "key_[REDACTED:aws_access_key]_1"),
        (f"Credential%3D{AWS_ID}%2F", "Credential%3D[REDACTED:aws_access_key]%2F"),
        (f"X{AWS_ID}", None),
        ("1//" + "0gaB3_-" * 6, "[REDACTED:google_token]"),
        ("sk" + "_org_live_" + "aB3" * 8, "[REDACTED:stripe_key]"),
    ],
)
async def test_where_a_secret_begins_and_ends(text: str, cleaned: str | None) -> None:
    accepted = await guarded(orjson.dumps(text))
    assert orjson.loads(accepted.body) == (text if cleaned is None else cleaned)


@given(st.sampled_from(["", " ", "\n", "\r\n", "\t", "  "]), st.sampled_from(["", " ", "\n"]))
def test_a_token_is_one_however_its_json_is_written(before: str, after: str) -> None:
    head, claims = (
        base64.urlsafe_b64encode(f'{{{before}"{name}":{after}"x"}}'.encode()).rstrip(b"=")
        for name in ("alg", "sub")
    )
    cleaned = GUARD._clean(b'"%s.%s.%s"' % (head, claims, b"aB3_-" * 5))
    assert cleaned.body == b'"[REDACTED:jwt]"'


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
