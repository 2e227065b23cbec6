"""Why a delivery stands where it stands, and what is to be done: one sentence each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.deliveries import DeliveryState

NOTHING_TO_DO = "Nothing to do."
_EDIT = "Its provider changes the allow-list entry if such runs shall go out; the next one will."


class Advice(NamedTuple):
    """Two sentences for people."""

    why: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a delivery. Names are as people write them; `said`: GitHub's last words.

    `silent`: GitHub took it, and no workflow reacted in the time that one needs.
    """

    state: DeliveryState
    source: str
    workflow: str
    service: str
    consumer: str
    event_type: str
    reason: str | None = None
    blocked_reason: str | None = None
    waits_for: str | None = None
    waiting: str | None = None
    due_at: datetime | None = None
    attempts: int = 0
    status: int | None = None
    said: str | None = None
    silent: bool = False


def advise(case: Case) -> Advice:
    """What to tell of this delivery."""
    if case.state == "blocked":
        return _blocked(case)
    if case.state == "dead":
        return _dead(case)
    if case.waits_for:
        return _resting(case)
    if case.waiting:
        return Advice(
            f"It is {case.waiting}: a limit is reached there.", "It goes out when that is over."
        )
    if case.silent:
        return Advice(
            "GitHub took it; no workflow reacted.",
            f"`zekt subscriptions check {case.service} {case.consumer}` says which would.",
        )
    return _under_way(case)


def waiting(
    lane: str, due_at: datetime | None, opens_at: datetime | None, now: datetime
) -> str | None:
    """What holds up a delivery of this lane, in words; None: nothing but its turn."""
    if due_at is None or opens_at is None or opens_at <= now or due_at > opens_at:
        return None
    kind, _, host = lane.partition(":")
    day = "" if opens_at.date() == now.date() else f"{opens_at:%Y-%m-%d} "
    return f"waiting for {'GitHub' if kind == 'github' else host} until {day}{opens_at:%H:%MZ}"


def _owner(name: str) -> str:
    return name.partition("/")[0]


def _resting(case: Case) -> Advice:
    known = {
        "sequence": Advice(
            "Its subscription is ordered: it waits for the one before it.",
            "See that one: `zekt deliveries list` with the service and the consumer.",
        ),
        "pause": Advice("Sending is paused.", "It goes on when the pause is lifted."),
        "app": Advice(
            "GitHub does not accept the App's key.",
            "Give the server the App's present id and key; `zekt check` says whether they fit.",
        ),
    }
    return known.get(case.waits_for or "", Advice(f"It waits for {case.waits_for}.", NOTHING_TO_DO))


def _under_way(case: Case) -> Advice:
    when = f" at {case.due_at:%H:%M:%SZ}" if case.due_at else ""
    listening = f"a workflow of {case.consumer} on repository_dispatch, type {case.event_type}"
    known: dict[str, Advice] = {
        "pending": Advice(f"It waits its turn{when}.", NOTHING_TO_DO),
        "retrying": Advice(
            f"{_answered(case)}; attempt {case.attempts + 1} follows{when}.", NOTHING_TO_DO
        ),
        "dispatched": Advice(
            "GitHub took it.", f"It starts {listening}; without one nothing happens there."
        ),
        "confirmed": Advice("It started a run of the consumer.", NOTHING_TO_DO),
        "completed": Advice("The consumer's run ended well.", NOTHING_TO_DO),
        "failed": Advice(
            "It arrived; the consumer's run failed there.",
            f"The people of {case.consumer} look at their run.",
        ),
    }
    return known[case.state]


def _answered(case: Case) -> str:
    """What became of the last attempt."""
    if case.status:
        return f"GitHub answered {case.status}"
    if case.reason == "plugin_failed":
        return "A plugin failed to decide"
    if case.reason == "decryption_failed":
        return "No key opens what is stored"
    return "GitHub did not answer"


def _dead(case: Case) -> Advice:
    if case.status == 422:
        said = (case.said or "").removeprefix("GitHub answered 422").rstrip(".")
        return Advice(
            f"GitHub refused the content{said}.",
            "The provider mends what it sends; the next event goes out as usual.",
        )
    if case.reason == "plugin_failed":
        return Advice(
            "A plugin failed five times to decide about it.",
            "`zekt plugins` names the plugin and its problem; mend it before the next event.",
        )
    if case.reason == "unconfirmed":
        return Advice(
            f"It was sent {case.attempts} times, and no run of {case.consumer} confirmed it.",
            f"`zekt subscriptions check {case.service} {case.consumer}` says what would.",
        )
    if case.reason == "decryption_failed":
        return Advice(
            "No key in ZEKT_SECRET_KEY opened what is stored, for 96 hours.",
            "Give the server the key that it had; events from then on go out.",
        )
    if case.reason == "too_large":
        return Advice(
            "A plugin made the message larger than GitHub takes.",
            "`zekt plugins` names those that change messages: mend it before the next event.",
        )
    if case.reason == "no_recipient":
        return Advice(
            f"Its message is encrypted, and {case.consumer} had no key when it was sent.",
            f"`zekt shield keys add {case.consumer} FILE` gives it one; the next message has it.",
        )
    return Advice(
        f"{_answered(case)}, again and again for 96 hours.",
        "The next event goes out as usual once GitHub answers.",
    )


def _blocked(case: Case) -> Advice:
    reason = case.blocked_reason or ""
    known = {
        "not_allowed": Advice(
            f"{case.workflow} is not on the allow-list of {case.source}.",
            "Its provider puts it there; then the next run goes out.",
        ),
        "from_fork": Advice(
            "The run's code came from a fork.",
            "Its provider may let forks through in the allow-list entry, if they can be trusted.",
        ),
        "run_event_not_allowed": Advice("What started the run is not in the allow-list.", _EDIT),
        "branch_not_allowed": Advice("The run's branch is not in the allow-list.", _EDIT),
        "conclusion_not_allowed": Advice("The run did not end as the allow-list wants.", _EDIT),
        "event_type_not_declared": Advice(
            f"{case.service} does not declare the event type {case.event_type}.",
            "Its provider adds the type to the service, and consumers accept it.",
        ),
        "not_encrypted": Advice(
            f"{case.service} takes only encrypted messages since this one came in clear.",
            "The next run encrypts its message; this one does not go as it is.",
        ),
        "not_approved": Advice(
            f"{case.consumer} is not approved for {case.service}, or that is not published.",
            "The provider publishes and approves; then the next event goes out.",
        ),
        "account_blocked": Advice(
            f"The operator blocked {_owner(case.source)} or {_owner(case.consumer)}.",
            "Only the operator lifts that.",
        ),
        "quota": Advice(
            f"{_owner(case.source)} has had its events of that day.",
            "The next day's go out. The operator sets how many (ZEKT_QUOTA_EVENTS).",
        ),
        "consent": Advice(
            f"The App is suspended or no longer installed at {_owner(case.source)} or "
            f"{_owner(case.consumer)}, or {case.source} is archived.",
            "An owner undoes that at GitHub; then the next event goes out.",
        ),
        "permission_missing": Advice(
            f"{_owner(case.consumer)} has not accepted that the App may write there.",
            f"An owner of {_owner(case.consumer)} accepts the App's permissions at GitHub.",
        ),
        "withdrawn": Advice(
            f"{_owner(case.source)} or {_owner(case.consumer)} took consent back before its turn.",
            "It has been given again since: if this is still wanted, replay it "
            "(`zekt deliveries replay`).",
        ),
        "no_access": _no_access(case),
    }
    return known.get(
        reason,
        Advice(f"A plugin blocked it: {reason}.", "What lifts that is in the plugin's documents."),
    )


def _no_access(case: Case) -> Advice:
    """GitHub says it; the reason beside it tells what."""
    owner = _owner(case.consumer)
    known = {
        "installation_gone": Advice(
            f"{owner} removed the App.", f"An owner of {owner} installs it again at GitHub."
        ),
        "installation_suspended": Advice(
            f"{owner} suspended the App.", f"An owner of {owner} lifts that at GitHub."
        ),
        "repository_not_granted": Advice(
            f"GitHub says that {case.consumer} is not there, or that the App may not see it.",
            f"An owner of {owner} shares it with the App at GitHub.",
        ),
        "permission_missing": Advice(
            f"The App may not write in {case.consumer}.",
            f"An owner of {owner} accepts the App's permissions at GitHub.",
        ),
    }
    return known.get(
        case.reason or "",
        Advice(
            f"{case.consumer} is archived, so no workflow can run there.",
            f"The people of {owner} unarchive it at GitHub.",
        ),
    )
