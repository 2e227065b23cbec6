"""Before and after each operation: who calls, how often, what they send, and how errors answer.

The order of refusals, cheapest first: announced size, token, rate, body, what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog
from aiohttp import web

from zekt_bot.domain.messages import MOST_DEPTH
from zekt_bot.errors import (
    AccessDenied,
    Conflict,
    DecryptionFailed,
    Gone,
    InvalidInput,
    KeysUnavailable,
    MessageRefused,
    MessageTooLarge,
    NotFound,
    PluginFailed,
    QuotaExceeded,
    RequestRefused,
    RunTokenRefused,
    StorageUnavailable,
    ZektError,
)
from zekt_bot.operations import arriving
from zekt_bot.web import bodies, client, errors
from zekt_bot.web.deps import BROKER, DEPS, InFlight, answer
from zekt_bot.web.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from zekt_bot.clock import Clock
    from zekt_bot.domain.run_tokens import VerifiedRun
    from zekt_bot.operations.broker import Broker

MOST_BYTES = 655_360
MOST_FAILED = 60
_RETRY_AFTER = 5
_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()

# What an error answers, the first class that fits.
_STATUS: tuple[tuple[type[ZektError], int], ...] = (
    (RunTokenRefused, 401),
    (AccessDenied, 403),
    (NotFound, 404),
    (Gone, 410),
    (Conflict, 409),
    (MessageTooLarge, 413),
    (MessageRefused, 422),
    (QuotaExceeded, 429),
    (InvalidInput, 400),
    (KeysUnavailable, 503),
    (StorageUnavailable, 503),
    (PluginFailed, 503),
    (DecryptionFailed, 503),
)


# What every operation may answer beside its own refusals.
USUAL: dict[int, str] = {
    400: "the body is cut, is not JSON in UTF-8, or lacks what it should have: it is named",
    401: "there is no token, or two, or it is forged, has expired, is for another audience or "
    "lacks a claim",
    403: "X-GitHub-Repository is another repository than the token's",
    408: "the body did not come in time",
    413: "the body has more than 655,360 bytes",
    415: "the body is encoded",
    422: "the body nests too deep",
    429: "this repository, or with bad tokens this address, calls too often",
    500: "a bug of Zekt, recorded under the number that is given",
    503: "it cannot be done now: the database, GitHub's keys or the room for bodies, of all or of "
    "one account",
}


class Call(NamedTuple):
    """An operation's call by a run. `body` is what the operation takes; `names` are in the path."""

    broker: Broker
    run: VerifiedRun
    body: Any
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Operation:
    """What runs may call. `takes` and `gives` are models; `refusals` say when beside the usual."""

    name: str
    path: str
    summary: str
    act: Callable[[Call], Awaitable[msgspec.Struct | web.Response]]
    gives: type
    refusals: Mapping[int, str]
    takes: type[msgspec.Struct] | None = None

    @property
    def method(self) -> str:
        """What takes nothing is only read."""
        return "POST" if self.takes else "GET"


class Rates:
    """How often runs may call: verified ones by repository, what fails by address."""

    def __init__(self, clock: Clock, most: int) -> None:
        """`most` calls a minute of one repository; 0: any number."""
        self._verified = Tries(clock, most) if most else None
        self._failed = Tries(clock, MOST_FAILED)

    def check(self, run: VerifiedRun) -> None:
        """Count a call.

        Raises:
            QuotaExceeded: it is one too many.
        """
        if self._verified and not self._verified.allows(str(run.key.repository_id)):
            left = self._verified.seconds_left()
            raise QuotaExceeded("This repository calls too often: wait.", retry_after=left)

    def failed(self, address: str) -> None:
        """Count a token that proves nothing.

        Raises:
            QuotaExceeded: it is one too many.
        """
        if not self._failed.allows(address):
            left = self._failed.seconds_left()
            raise QuotaExceeded(
                "Too many tokens from this address prove nothing: wait.", retry_after=left
            )


RATES = web.AppKey("RATES", Rates)
ROOM = web.AppKey("ROOM", InFlight)


def room(whole: int, part_of: InFlight) -> InFlight:
    """What bodies of the API may take of the room for bodies: half of it, or one body.

    Any repository of GitHub has a token; what webhooks need is left to them, which GitHub sends
    once.
    """
    return InFlight(max(whole // 2, MOST_BYTES), part_of, least=MOST_BYTES)


def handler(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answer an operation's requests."""
    return partial(_serve, operation)


async def expected(request: web.Request) -> web.StreamResponse | None:
    """Ask for an announced body only if it may be so long."""
    try:
        _check_size(request)
    except RequestRefused as error:
        return refused(error)
    return await errors.expected(request)


async def _serve(operation: Operation, request: web.Request) -> web.StreamResponse:
    deps = request.app[DEPS]
    began, run = deps.clock.monotonic(), None
    try:
        _check_size(request)
        run = await caller(request)
        _check_encoding(operation, request)
        whose = await _whose(operation, request, run)
        with request.app[ROOM].holding(whose) as take:
            body = await _body(operation, request, take)
            async with bodies.within(deps.limits.store):
                call = Call(request.app[BROKER], run, body, request.match_info)
                given = await operation.act(call)
    except ZektError as error:
        given = refused(error)
    except TimeoutError:  # the database is too slow
        given = refused(StorageUnavailable())
    response = given if isinstance(given, web.Response) else _told(given)
    took = deps.clock.monotonic() - began
    deps.figures.api[str(response.status)] += 1
    deps.figures.api_seconds.observe(took)
    _log.info(
        "api.answered",
        operation=operation.name,
        status=response.status,
        repository_id=run.key.repository_id if run else None,
        run_id=run.key.run_id if run else None,
        duration_ms=round(took * 1000, 1),
    )
    return response


def _told(given: msgspec.Struct) -> web.Response:
    return web.Response(body=_encode(given), content_type="application/json")


def refused(error: ZektError) -> web.Response:
    """The answer to an error that was foreseen; any other is raised again."""
    if isinstance(error, RequestRefused):
        status = error.status
    else:
        found = (status for kind, status in _STATUS if isinstance(error, kind))
        known = next(found, None)
        if known is None:
            raise error
        status = known
    headers = {}
    if status in {429, 503}:
        headers["Retry_After"] = str(error.data.get("retry_after", _RETRY_AFTER))
    if status == 401:
        headers["WWW_Authenticate"] = "Bearer"
    return answer(status, {"error": str(error)}, **headers)


async def caller(request: web.Request) -> VerifiedRun:
    """The run that calls.

    Raises:
        RunTokenRefused: the token is missing or proves nothing.
        KeysUnavailable: nobody can tell now.
        AccessDenied: X-GitHub-Repository names another repository.
        QuotaExceeded: it calls too often, or its address fails too often.
    """
    rates = request.app[RATES]
    try:
        run = await request.app[BROKER].run_tokens.verify(_token(request))
    except (RunTokenRefused, KeysUnavailable):
        trusted = request.app[DEPS].settings.trusted_proxies
        rates.failed(client.of(request, trusted).address)
        raise
    rates.check(run)
    for name in request.headers.getall("X-GitHub-Repository", ()):
        run.check_names(name)
    return run


def _token(request: web.Request) -> str:
    given = request.headers.getall("Authorization", [])
    if len(given) != 1:
        raise RunTokenRefused(
            "There is no token, or more than one: send one header `Authorization: Bearer TOKEN` "
            "with the run's OpenID Connect token. Its job needs the permission `id-token: write`."
        )
    scheme, _, token = given[0].strip().partition(" ")
    if scheme.lower() != "bearer":
        raise RunTokenRefused("The Authorization header is not `Bearer TOKEN`.")
    return token.strip()


def _check_size(request: web.Request) -> None:
    if (request.content_length or 0) > MOST_BYTES:
        raise RequestRefused(413, _too_large())


def _check_encoding(operation: Operation, request: web.Request) -> None:
    encoded = request.headers.get("Content-Encoding", "identity").lower() != "identity"
    if operation.takes and encoded:
        raise RequestRefused(415, "The body is encoded: send plain JSON.")


async def _whose(operation: Operation, request: web.Request, run: VerifiedRun) -> int | None:
    """The account that a body is counted for which is waited for.

    None: it came with its head, as small ones do, and stays only until it is answered.
    """
    if operation.takes is None or request.content.is_eof():
        return None
    async with bodies.within(request.app[DEPS].limits.look):
        return await arriving.counted_for(request.app[BROKER], run.key)


def _too_large() -> str:
    return f"The request's body is too large; at most {MOST_BYTES} bytes are taken."


async def _body(
    operation: Operation, request: web.Request, take: Callable[[int], None]
) -> msgspec.Struct | None:
    if operation.takes is None:
        return None
    body = await bodies.read(request, take, MOST_BYTES, _too_large())
    try:
        return msgspec.json.decode(body, type=operation.takes)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The body is not what is taken here: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidInput("The body is not JSON in UTF-8.") from None
    except RecursionError:
        raise MessageRefused(f"The body nests too deep: at most {MOST_DEPTH} levels.") from None
