"""How GitHub's API answers: refusals in its words, pages of a list.

Source: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCS = "https://docs.github.com/rest"
VERSION_HEADER = "x-github-api-version"
VERSIONS = ("2026-03-10", "2022-11-28")
"""The newest first."""
DEFAULT_VERSION = "2022-11-28"
T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Handler]


class ApiRefusal(Exception):
    """GitHub refuses a request, in its own words."""

    def __init__(
        self,
        status: int,
        message: str,
        docs: str = "",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        """`docs` is the page below GitHub's REST documentation; `more` joins the body."""
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body = {
            "message": message,
            **more,
            "documentation_url": f"{DOCS}/{docs}" if docs else DOCS,
            "status": str(status),
        }

    def response(self) -> web.Response:
        """As an HTTP answer."""
        return answer(self.status, self.body, self.headers)


def not_found(docs: str = "") -> ApiRefusal:
    """404, which GitHub also says of what one may not see."""
    return ApiRefusal(404, "Not Found", docs)


def not_permitted(permissions: str, docs: str = "") -> ApiRefusal:
    """403 of a token that lacks `permissions` (such as `contents=write`)."""
    headers = {"X-Accepted-GitHub-Permissions": permissions}
    return ApiRefusal(403, "Resource not accessible by integration", docs, headers)


def invalid(reason: str, docs: str = "") -> ApiRefusal:
    """422 of GitHub's schema check."""
    return ApiRefusal(422, f"Invalid request.\n\n{reason}", docs)


def shown(value: Any) -> str:
    """A value as that check shows it, which is written in Ruby."""
    if isinstance(value, dict):
        pairs = (f"{shown(key)}=>{shown(inner)}" for key, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return "nil" if value is None else orjson.dumps(value).decode()


def check_version(asked: str | None) -> None:
    """Accept a version of the API, or none.

    Source: https://docs.github.com/rest/about-the-rest-api/api-versions

    Raises:
        ApiRefusal: 400, it is not supported.
    """
    if asked is None or asked in VERSIONS:
        return
    newest, *others = VERSIONS
    known = " and ".join([f'"{newest}" (most recent)', *(f'"{other}"' for other in others)])
    reason = (
        f'The version you specified in the "X-GitHub-API-Version" request header, "{asked}", is '
        f"not a supported version. The following versions are currently supported: {known}."
    )
    raise ApiRefusal(400, "Bad Request", errors=reason)


def no_user_agent() -> web.Response:
    """403 of GitHub's door, which is not JSON.

    Source: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#user-agent-required
    """
    text = (
        "\r\nRequest forbidden by administrative rules. Please make sure your request has a "
        f"User-Agent header ({DOCS}/using-the-rest-api/troubleshooting-the-rest-api"
        "#user-agent-required). Check https://developer.github.com for other possible causes.\r\n"
    )
    return web.Response(status=403, text=text, content_type="text/html")


def answer(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer in JSON, or an empty one."""
    response = web.Response(status=status, headers=headers)
    if body is not None:
        response.body = orjson.dumps(body)
        response.headers["Content-Type"] = "application/json; charset=utf-8"
    return response


def tagged(response: web.StreamResponse, known: str | None) -> web.StreamResponse:
    """With its ETag; only 304 to who has `known` this already.

    Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate
    """
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(body, bytes):
        return response
    tag = f'W/"{hashlib.sha256(body).hexdigest()}"'
    if known == tag:
        return web.Response(status=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return response


async def json_object(request: web.Request) -> dict[str, Any]:
    """The request's body; nothing counts as an empty object."""
    return await needed_object(request) if (await request.read()).strip() else {}


async def needed_object(request: web.Request, docs: str = "") -> dict[str, Any]:
    """The request's body, where one is needed."""
    raw = await request.read()
    if not raw.strip():
        raise invalid(f"For 'links/0/schema', {shown(None)} is not an object.", docs)
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise ApiRefusal(400, "Problems parsing JSON") from None
    if not isinstance(parsed, dict):
        raise ApiRefusal(400, "Body should be a JSON object")
    return parsed


def numbered(text: str, default: int = 0) -> int:
    """The number that a text is; for what is none, or longer than any of GitHub's, `default`."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else default


def number(request: web.Request, name: str, default: int) -> int:
    """A number of the query; what is none counts as not given."""
    return numbered(request.query.get(name, ""), default)


def page_of(request: web.Request, rows: Sequence[T], base: str) -> tuple[list[T], dict[str, str]]:
    """The rows asked for with `page` and `per_page`, and the Link header.

    Source: https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    size = min(max(number(request, "per_page", 30), 1), 100)
    page = max(number(request, "page", 1), 1)
    last = max(-(-len(rows) // size), 1)
    places: dict[str, int] = {}
    if page > 1:
        places |= {"prev": min(page - 1, last), "first": 1}
    if page < last:
        places |= {"next": page + 1, "last": last}
    links = [
        f'<{base}?{request.rel_url.update_query(page=str(to)).query_string}>; rel="{name}"'
        for name, to in places.items()
    ]
    headers = {"Link": ", ".join(links)} if links else {}
    return list(rows[(page - 1) * size : page * size]), headers
