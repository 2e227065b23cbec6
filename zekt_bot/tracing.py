"""Traces (OpenTelemetry), for who installed the extra `otel` and set ZEKT_TRACES.

All spans of a run stand in one trace, whose id is made of the run's key: so the process that stores
a webhook and the one that dispatches name the same trace, and nothing has to be carried or stored.
The webhook that completes the run is the trace's root; its span's id is made of the key too.

Source: https://opentelemetry.io/docs/specs/otel/trace/api/
"""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from opentelemetry.sdk.trace import TracerProvider

_SERVICE = "zekt"
_COMPLETED = {"name": "webhook", "event": "workflow_run", "action": "completed"}


class Traces(Protocol):
    """Where a process tells what it did of a run's way."""

    def tell(
        self, name: str, key: tuple[int, ...], began: datetime, ended: datetime, **facts: str
    ) -> None:
        """A span of the run with this key; the `webhook` that completes the run is the root."""
        ...

    def close(self, within: timedelta) -> None:
        """Send what was told, as far as that takes no longer, and stop."""
        ...


class NoTraces:
    """Nobody listens."""

    def tell(
        self, name: str, key: tuple[int, ...], began: datetime, ended: datetime, **facts: str
    ) -> None:
        """Nothing."""

    def close(self, within: timedelta) -> None:
        """Nothing."""


def open_traces(*, wanted: bool) -> Traces:
    """Where to tell; with `wanted`, whither OpenTelemetry's own variables (OTEL_…) say.

    Raises:
        ConfigurationError: the extra is not installed.
    """
    if not wanted:
        return NoTraces()
    try:
        return _OpenTelemetry()
    except ImportError:
        raise ConfigurationError(
            "ZEKT_TRACES is true, and OpenTelemetry is not installed: "
            "`pip install 'zekt-bot[otel]'`, or leave it out."
        ) from None


def _ids(key: tuple[int, ...]) -> tuple[int, int]:
    """The ids of a run's trace and of its root. Neither may be 0."""
    digest = hashlib.sha256(":".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1


class _OpenTelemetry:
    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        wanted: ContextVar[tuple[int, int] | None] = ContextVar("root", default=None)

        class Ids(RandomIdGenerator):
            def generate_trace_id(self) -> int:
                root = wanted.get()
                return root[0] if root else super().generate_trace_id()

            def generate_span_id(self) -> int:
                root = wanted.get()
                return root[1] if root else super().generate_span_id()

        self._wanted = wanted
        self._provider: TracerProvider = TracerProvider(
            id_generator=Ids(), resource=Resource.create({"service.name": _SERVICE})
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("zekt_bot")

    def tell(
        self, name: str, key: tuple[int, ...], began: datetime, ended: datetime, **facts: str
    ) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.sdk.trace.sampling import Decision

        ids = _ids(key)
        is_root = _COMPLETED.items() <= {"name": name, **facts}.items()
        context = Context()
        if not is_root:
            # Sampled as the root is: the sampler looks at nothing but the trace's id.
            decided = self._provider.sampler.should_sample(None, ids[0], name).decision
            flags = trace.TraceFlags(decided == Decision.RECORD_AND_SAMPLE)
            parent = trace.SpanContext(*ids, is_remote=True, trace_flags=flags)
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        token = self._wanted.set(ids if is_root else None)
        try:
            span = self._tracer.start_span(
                name,
                context,
                attributes={f"zekt.{fact}": value for fact, value in facts.items()},
                start_time=_nanoseconds(began),
            )
        finally:
            self._wanted.reset(token)
        span.end(_nanoseconds(ended))

    def close(self, within: timedelta) -> None:
        """In a thread, because it waits half a minute for a collector that does not answer."""
        closing = Thread(target=self._provider.shutdown, name="zekt-traces", daemon=True)
        closing.start()
        closing.join(within.total_seconds())


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
