"""One trace from webhook to dispatch, as a collector receives it."""

from __future__ import annotations

import gzip
import sys
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.stage import open_stage
from zekt_bot.errors import ConfigurationError
from zekt_bot.tracing import NoTraces, open_traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


@pytest.fixture
async def received(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Span]]:
    """The spans that came to a collector on this machine."""
    spans: list[Span] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            spans.extend(span for scope in resource.scope_spans for span in scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    async with TestServer(app) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", str(server.make_url("/")).rstrip("/"))
        yield spans


async def test_all_of_a_run_s_way_is_one_trace(migrated_sqlite: str, received: list[Span]) -> None:
    async with open_stage(migrated_sqlite, traces=True) as stage:
        await stage.serve()
        await stage.finish_run("build")
        (outcome,) = await stage.flow()
        assert outcome is not None
        await stage.finish_run("build")
        await stage.flow()
    first, second = {span.trace_id for span in received if span.name == "dispatch"}
    assert {span.trace_id for span in received} == {first, second}
    for trace in (first, second):
        spans = [span for span in received if span.trace_id == trace]
        (root,) = [span for span in spans if not span.parent_span_id]
        assert root.name == "webhook"
        assert {span.name for span in spans} == {"webhook", "route", "dispatch"}
        assert {span.parent_span_id for span in spans if span is not root} == {root.span_id}
        (sent,) = [span for span in spans if span.name == "dispatch"]
        facts = {fact.key: fact.value.string_value for fact in sent.attributes}
        assert facts["zekt.outcome"] == "dispatched"
        assert facts["zekt.delivery"].startswith("dlv_")
        assert facts["zekt.correlation"].startswith("cor_")


@pytest.mark.parametrize("sampler", ["always_off", "traceidratio"])
async def test_a_trace_is_kept_or_dropped_as_a_whole(
    migrated_sqlite: str,
    received: list[Span],
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    async with open_stage(migrated_sqlite, traces=True) as stage:
        await stage.serve()
        for _ in range(8):
            await stage.finish_run("build")
        await stage.flow()
    kept = {span.trace_id for span in received}
    roots = {span.trace_id for span in received if not span.parent_span_id}
    assert roots == kept
    assert len(kept) == 0 if sampler == "always_off" else 0 < len(kept) < 8


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"zekt-bot\[otel\]"):
        open_traces(wanted=True)
    assert isinstance(open_traces(wanted=False), NoTraces)
