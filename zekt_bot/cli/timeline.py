"""One delivery as people read it: its way, why it stands there, what to do, and the timeline."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zekt_bot.cli.output import STATE_STYLES, cell, console, plain, print_facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.console import Console

    Row = Mapping[str, Any]

_NEXT = {
    "not_allowed": "zekt workflows allow {source} {workflow_path}",
    "event_type_not_declared": "zekt services show {service}",
    "not_encrypted": "zekt services show {service}",
    "not_approved": "zekt subscriptions show {service} {target}",
    "account_blocked": "zekt accounts list --rule block",
}
KNOWN_BY = {
    "title": "its name proves it",
    "token": "it said so itself",
    "probable": "probably its own",
}
_SECOND = timedelta(seconds=1)
_MARKS = {"green": "✓", "yellow": "…", "red": "✕"}


def tell(found: Row) -> None:
    """Print it."""
    out = console()
    _head(found, out)
    out.print()
    _route(found, out)
    out.print()
    out.print(timeline(found))
    out.print()
    print_facts(
        {
            "delivery": found["id"],
            "event": found["envelope"],
            "event type": found["event_type"],
            "correlation": found["correlation_id"],
            "channel": found["channel"],
            "created": found["created_at"],
            "dispatched": found["dispatched_at"],
            "due": found["waits_until"],
            "at GitHub": found["html_url"],
        },
        out,
    )


def _head(row: Row, out: Console) -> None:
    """Its name and state; why; what to do."""
    style = STATE_STYLES.get(row["state"], "")
    title = Text(plain(_run(row)), style="bold")
    state = f"{_MARKS.get(style, '·')} {row['state']}"
    why = next((word for word in (row["blocked_reason"], row["reason"]) if word), "")
    title.append("  ").append(state, style=style)
    title.append(f" ({plain(why)})" if why else "", style=style)
    out.print(title)
    out.print(plain(row["why"]), markup=False)
    out.print(plain(row["what_to_do"]), markup=False)
    command = _NEXT.get(row["blocked_reason"] or "")
    for why in row["silence"]:
        out.print(plain(why), markup=False)
    if command:  # never folded, so that it can be copied
        out.print(plain(f"Next: {command.format(**row)}"), markup=False, soft_wrap=True)


def _run(row: Row) -> str:
    """Its run as GitHub writes it; of one that is not told there is no number."""
    number = f" #{row['run_number']}" if row["run_number"] else ""
    return f"{row['workflow_name']}{number}"


def _route(row: Row, out: Console) -> None:
    """From, service, to: on one line if there is room, with what each leg took."""
    untold = "(a hidden source)" if row["source_is_hidden"] else "(not told)"
    stops = [cell(row["source"] or untold), cell(row["service"]), cell(row["target"])]
    legs = [
        Text(f"── {_seconds(row['created_at'] - _event_at(row))} ──▶", style="green"),
        _last_leg(row),
    ]
    width = sum(part.cell_len for part in (*stops, *legs)) + 4
    if width <= out.width:
        out.print(Text(" ").join([stops[0], legs[0], stops[1], legs[1], stops[2]]))
        return
    for stop, leg in zip(stops, (*legs, None), strict=True):
        out.print(stop, no_wrap=True, overflow="ignore", crop=False)
        if leg is not None:
            out.print(Padding(leg, (0, 0, 0, 2)))


def _last_leg(row: Row) -> Text:
    if row["dispatched_at"]:
        took = _seconds(row["dispatched_at"] - row["created_at"])
        return Text(f"── {took} ──▶", style="green")
    if STATE_STYLES.get(row["state"]) == "red":
        return Text(f"╌╌ ✕ {row['state']} ╌╌", style="red")
    return Text(f"·· {row['state']} ··▷", style="yellow")


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.1f} s"


def _event_at(row: Row) -> datetime:
    """When the run ended; times below are counted from here."""
    at: datetime = row["event_at"] or row["created_at"]
    return at


class _Entry(NamedTuple):
    """A line of the timeline. `place` is where it stands: GitHub's times have whole seconds."""

    place: datetime
    rank: int
    at: datetime
    title: str
    more: Text
    digits: int = 3


def timeline(row: Row) -> Table:
    """Attempts and history in one line of time, with the seconds since the event."""
    began = _event_at(row)
    entries = [
        _event(row, began),
        *(_ours(a["at"], 1, f"attempt {a['n']}", _attempt(a)) for a in row["attempts"]),
        *(_ours(e["at"], 2, _sentence(e["verb"]), Text(_details(e))) for e in row["history"]),
        *(entry for run in row["runs"] for entry in _consumers_run(run, row["attempts"])),
    ]
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="cyan", no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for entry in sorted(entries, key=lambda entry: entry[:2]):
        offset = (entry.at - began).total_seconds()
        table.add_row(f"{offset:+.{entry.digits}f} s", cell(entry.title), entry.more)
    return table


def _ours(at: datetime, rank: int, title: str, more: Text) -> _Entry:
    return _Entry(at, rank, at, title, more)


def _event(row: Row, began: datetime) -> _Entry:
    """Its messages came before the run ended, also those of that same second."""
    stored = (e["at"] for e in row["history"] if e["verb"] == "run:message:stored")
    place = max((at for at in stored if began < at < began + _SECOND), default=began)
    what = f"{row['source'] or ''} {_run(row)} ended: {row['conclusion'] or '?'}"
    return _Entry(place, 0 if place == began else 3, began, "event", Text(plain(what)), 0)


def _consumers_run(run: Row, attempts: Sequence[Row]) -> list[_Entry]:
    """Its begin, after what was sent in that second, and its end."""
    sure = "probably " if run["bound_by"] == "probable" else ""
    name = f"{sure}run #{run['run_number'] or '?'}.{run['run_attempt']}"
    known = Text(plain(f"began ({KNOWN_BY[run['bound_by']]}) {run['html_url'] or ''}"))
    if began := run["started_at"]:
        sent = (a["at"] for a in attempts if began <= a["at"] < began + _SECOND)
        begin = _Entry(min(sent, default=began), 3, began, name, known, 0)
    else:
        begin = _ours(run["received_at"], 3, name, known)
    if not (ended := run["completed_at"]):
        return [begin]
    result = Text(plain(f"ended: {run['conclusion']}"))
    return [begin, _Entry(max(begin.place, ended), 3, ended, name, result, 0)]


def _sentence(verb: str) -> str:
    """`zekt:delivery:dispatched` as words: delivery dispatched."""
    _, _, what = verb.partition(":")
    return what.replace(":", " ").replace("_", " ")


def _details(entry: Row) -> str:
    told = " ".join(f"{name}={value}" for name, value in entry["details"].items())
    by = "" if entry["actor"] == "zekt" else f"by {entry['actor']} "
    return plain(by + told)


def _attempt(attempt: Row) -> Text:
    """What GitHub answered, then the small print."""
    status = attempt["status"]
    said = f"GitHub answered {status}" if status else "no answer"
    told = attempt["error"] or said
    text = Text(plain(told if said in told or not status else f"{said}: {told}"))
    small = [f"in {attempt['duration_us'] / 1000:.0f} ms", f"{attempt['length']} bytes"]
    if attempt["request_id"]:
        small.append(f"request {attempt['request_id']}")
    return text.append("  ").append(plain(", ".join(small)), style="dim")
