"""What a message may hold: no secrets of a known shape, and what its service's schema has.

Only RE2 runs these patterns: its work grows with the text alone, whatever the text is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
import re2

from zekt_bot import Accepted, Profile, Redaction, Refusal, hookimpl, schema_misfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zekt_bot import IncomingMessage, MessagePolicy

# A JSON object in base64url: after its brace stand a quote or white space.
_HEADER = r"e(?:yJ|yA|wk|wo|w0)[A-Za-z0-9_-]{6,}"
# Each kind of secret by its shape, as its issuer documents it. A group marks the secret where the
# shape is more than it. A shape says early whether it fits, and then takes all that can be of it:
# no search goes far beyond what it finds.
KINDS = {
    "age_key": r"AGE-SECRET-KEY-1[0-9A-Z]{20,}",
    "anthropic_key": r"sk-ant-[A-Za-z0-9_-]{20,}",
    "authorization": r"(?i:authorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer|token)\s+)"
    r"([A-Za-z0-9._~+/-]{8,}={0,2})",
    "aws_access_key": r"(?:\b|_|%[0-9A-Fa-f]{2})((?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})(?:\b|_)",
    "aws_secret_key": r"(?i:secret.?access.?key|session.?token)['\"]?\s*[:=]+>?\s*['\"]?"
    r"([A-Za-z0-9/+]{40,}={0,2})",
    "azure_storage_key": r"AccountKey=([A-Za-z0-9+/]{80,}={0,2})",
    "databricks_token": r"\b(dapi[a-f0-9]{32,})",
    "digitalocean_token": r"do[oprt]_v1_[a-f0-9]{40,}",
    "docker_token": r"dckr_[po]at_[A-Za-z0-9_-]{20,}",
    "github_token": r"gh[oprsu]_[A-Za-z0-9_.-]{36,}",
    "github_fine_grained_token": r"github_pat_[A-Za-z0-9_]{22,}",
    "gitlab_token": r"gl(?:agent|cbt|dt|ft|imt|oas|pat|ptt|rt|soat)-[A-Za-z0-9_.-]{20,}",
    "google_api_key": r"AIza[A-Za-z0-9_-]{35,}",
    "google_client_secret": r"GOCSPX-[A-Za-z0-9_-]{20,}",
    "google_token": r"ya29\.[A-Za-z0-9_.-]{20,}|\b1//0[A-Za-z0-9_-]{20,}",
    "huggingface_token": r"\b(hf_[A-Za-z0-9]{30,})",
    "jwe": _HEADER + r"\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]{8,}){3}",
    "jwt": _HEADER + r"\." + _HEADER + r"\.[A-Za-z0-9_-]{8,}",
    "npm_token": r"npm_[A-Za-z0-9]{36,}",
    "openai_key": r"sk-(?:admin|proj|svcacct)-[A-Za-z0-9_-]{20,}",
    "private_key": r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)"
    r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
    "pypi_token": r"pypi-AgE[A-Za-z0-9_-]{40,}",
    "sendgrid_key": r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "shopify_token": r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32,}",
    "slack_token": r"(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}",
    "slack_webhook": r"hooks\.slack\.com/(?:services|triggers|workflows)/[A-Za-z0-9/_+-]{20,}",
    "stripe_key": r"[rs]k_(?:org_)?(?:live|prod|test)_[A-Za-z0-9]{16,}",
    "telegram_token": r"\b([0-9]{8,10}:AA[A-Za-z0-9_-]{33,})",
    "terraform_token": r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,}",
    "twilio_key": r"\b(SK[a-f0-9]{32})\b",
    # An @ or a quote may stand in a password; a quote may also end what the URL stands in.
    "url_password": r"(?i:[a-z][a-z0-9+.-]*)://[^\s/?#:@\"'<>]*:"
    r"((?:[^\s/?#\"'<>]|'[^\s/?#\"'<>,;:)\]}])+)@",
    "vault_token": r"hv[brs]\.[A-Za-z0-9_-]{24,}",
    "webhook_secret": r"whsec_[A-Za-z0-9+/]{24,}={0,2}",
}
_NAMES = tuple(KINDS)
_SHAPES = tuple(re2.compile(shape.encode()) for shape in KINDS.values())
_ROOM = re2.Options()
_ROOM.max_mem = 64 * 1024 * 1024
_ANY = re2.Set.SearchSet(_ROOM)
for _shape in KINDS.values():
    _ANY.Add(_shape.encode())
_ANY.Compile()

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[][{},]')
_SHORTEST = 9  # bytes with the quotes: a://:b@
_MOST_PATH = 200
_MOST_TOLD = 20
_MOST_FOUND = 500


@hookimpl
def zekt_accept_message(
    message: IncomingMessage, policy: MessagePolicy
) -> Accepted | Refusal | None:
    """Of what is in clear: secrets, as its service says; then whether it fits the schema."""
    profile = policy.service.profile if policy.service else Profile()
    if message.shield:  # nobody here can read it
        return None
    if profile.shield:
        return Refusal("not_encrypted", "its service takes what is encrypted with Shield alone")
    cleaned = None if profile.secrets == "keep" else _clean(message.body)
    if cleaned and (profile.secrets == "refuse" or len(cleaned.redactions) > _MOST_FOUND):
        return Refusal("secret_found", _told(cleaned.redactions))
    if profile.message_schema is not None:
        misfit = schema_misfit(profile.message_schema, (cleaned or message).body)
        if misfit is not None:
            return Refusal("schema", misfit)
    return cleaned


def _told(redactions: tuple[Redaction, ...]) -> str:
    """Where and of which kind they are."""
    told = redactions[:_MOST_TOLD]
    more = len(redactions) - len(told)
    return ", ".join(map(str, told)) + (f" and {more} more" if more else "")


def _clean(body: bytes) -> Accepted | None:
    """The message without its secrets; None: there are none. What is none stays byte for byte."""
    if b"\\" not in body and not _ANY.Match(body):  # an escape can hide what it stands in
        return None
    walk = _Walk(body)
    for token in _TOKEN.finditer(body):
        walk.step(token)
    return walk.done()


@dataclass(slots=True)
class _Walk:
    """A way through JSON: where it is, and what was found so far.

    `where`: for each container that is open, the key (as JSON) or the number of the value that is
    next; None: a key is next. `parts`: keys as they stand in a pointer.
    """

    body: bytes
    where: list[bytes | int | None] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    copied: int = 0
    found: list[Redaction] = field(default_factory=list)
    parts: dict[bytes, str] = field(default_factory=dict)

    def step(self, token: re.Match[bytes]) -> None:
        """Take the next string or mark of punctuation."""
        text, where = token[0], self.where
        if text[:1] == b'"':
            self._string(token)
        elif text == b"{":
            where.append(None)
        elif text == b"[":
            where.append(0)
        elif text != b",":
            where.pop()
        else:
            place = where[-1]
            where[-1] = place + 1 if isinstance(place, int) else None

    def done(self) -> Accepted | None:
        """What came of it."""
        if not self.found:
            return None
        whole = b"".join([*self.pieces, self.body[self.copied :]])
        return Accepted(whole, tuple(self.found))

    def _string(self, token: re.Match[bytes]) -> None:
        text = token[0]
        is_key = bool(self.where) and self.where[-1] is None
        name = self.where[-1] if self.where and not is_key else None
        if len(text) >= _SHORTEST:
            cleaned, kinds = _without_secrets(text, name if isinstance(name, bytes) else None)
            if kinds:
                self.pieces += [self.body[self.copied : token.start()], cleaned]
                self.copied, text = token.end(), cleaned
                inside = [*self.where[:-1], cleaned] if is_key else self.where
                path = self._pointer(inside)
                self.found += [Redaction(path, kind) for kind in kinds]
        if is_key:
            self.where[-1] = text

    def _pointer(self, where: list[bytes | int | None]) -> str:
        """A JSON Pointer (RFC 6901), on one line, and cut where it is too long to be read."""
        path = "".join(f"/{self._part(each)}" for each in where)
        return path if len(path) <= _MOST_PATH else f"{path[:_MOST_PATH]}…"

    def _part(self, place: bytes | int | None) -> str:
        """One of its parts; a key is read once, however much stands under it."""
        if not isinstance(place, bytes):
            return str(place)
        if place not in self.parts:
            name = str(orjson.loads(place)).replace("~", "~0").replace("/", "~1")
            seen = (each if each.isprintable() else "�" for each in name[: _MOST_PATH + 1])
            self.parts[place] = "".join(seen)
        return self.parts[place]


def _without_secrets(token: bytes, name: bytes | None) -> tuple[bytes, list[str]]:
    """A JSON string without its secrets, and their kinds. `name`: the key that it stands under.

    Some secrets are known by the name before them, as in a file of settings.
    """
    prefix = orjson.loads(name).encode() + b"=" if name else b""
    text = prefix + orjson.loads(token).encode()
    pieces: list[bytes] = []
    kinds: list[str] = []
    at = len(prefix)
    for start, end, kind in sorted(_secrets(text)):
        if start < len(prefix):  # it would reach from the name into the value
            continue
        if start >= at:
            pieces += [text[at:start], f"[REDACTED:{kind}]".encode()]
            kinds.append(kind)
        at = max(at, end)  # of two that overlap the second's rest goes with the first
    pieces.append(text[at:])
    return orjson.dumps(b"".join(pieces).decode()), kinds


def _secrets(text: bytes) -> Iterator[tuple[int, int, str]]:
    """From where to where they stand, and of which kind they are."""
    for number in _ANY.Match(text) or ():
        shape = _SHAPES[number]
        for found in shape.finditer(text):
            yield *found.span(shape.groups), _NAMES[number]
