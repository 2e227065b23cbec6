"""What the API takes and gives: each class reads, writes and describes its JSON.

What a client sends beyond it is let pass. Names are those of the wire.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zekt_bot.domain.deliveries import DeliveryState  # noqa: TC001 - msgspec reads it
from zekt_bot.domain.proof import Report  # noqa: TC001 - msgspec reads it

EventType = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        description="Without control characters and without blanks around it.",
    ),
]
FullName = Annotated[
    str, Meta(description="OWNER/REPO of the run, as its token has it; the case does not matter.")
]
DeliveryId = Annotated[str, Meta(pattern="^dlv_[0-9a-z]{26}$")]
CorrelationId = Annotated[str, Meta(pattern="^cor_[0-9a-z]{26}$")]
RunId = Annotated[str | int, Meta(description="GitHub's id of the run, as its token has it.")]


class Problem(msgspec.Struct):
    """Every refusal."""

    error: Annotated[str, Meta(description="What was wrong, and what to do.")]


class StepRef(msgspec.Struct):
    """The step of an orchestration that a message answers."""

    execution_id: str
    step_id: str


class NewMessage(msgspec.Struct, rename="camel"):
    """A message of the run that calls."""

    event_type: EventType
    repository: FullName
    workflow_run_id: RunId
    payload: Annotated[
        msgspec.Raw,
        Meta(
            description="Any JSON, also null: at most 524,288 bytes as they are sent, 64 levels "
            "deep. They are kept as they are."
        ),
    ]
    triggered_by: str | None = None
    commit_sha: str | None = None
    ref: str | None = None
    workflow: str | None = None
    timestamp: str | None = None
    orchestration_step_ref: Annotated[StepRef | None, Meta(description="Not served yet: 422.")] = (
        msgspec.field(name="orchestration_step_ref", default=None)
    )


class TakenOut(msgspec.Struct):
    """A secret that was taken out of a message before it was stored."""

    path: Annotated[str, Meta(description="Where it was: a JSON Pointer.")]
    kind: Annotated[str, Meta(description="What it looked like, such as github_token.")]


class MessageStored(msgspec.Struct, rename="camel"):
    """The message is stored, now or by the same call before."""

    success: bool
    event_id: Annotated[str, Meta(description="The event that it travels in.")]
    consumers_notified: Annotated[
        int, Meta(description="Approved subscriptions that get it, as things stand.")
    ]
    consumers_left_out: Annotated[
        int, Meta(description="Those that would get it too, were it encrypted for them.")
    ]
    message: Annotated[str, Meta(description="When they get it, or why nobody does.")]
    message_id: str
    correlation_id: Annotated[str, Meta(description="Zekt's name of the run.")]
    duplicate: Annotated[bool, Meta(description="The same was sent before; nothing was done.")]
    redactions: Annotated[
        list[TakenOut], Meta(description="Withdraw these secrets: they left your workflow.")
    ]


class KeysWanted(msgspec.Struct):
    """For whom the run that calls can encrypt."""

    repository: FullName


class PublicKey(msgspec.Struct, rename="camel"):
    """A consumer's key; one with several keys stands there as often."""

    consumer_id: Annotated[str, Meta(description="What its recipient in an envelope is called.")]
    public_key: Annotated[str, Meta(description="RSA, SPKI in PEM.")]


class PublicKeys(msgspec.Struct):
    """The keys of approved subscriptions to the service of the run's workflow."""

    keys: list[PublicKey]


class Confirmation(msgspec.Struct, rename="camel"):
    """Which delivery the run that calls came of."""

    delivery_id: Annotated[
        DeliveryId | None, Meta(description="`client_payload.zekt.deliveryId`; it is exact.")
    ] = None
    correlation_id: Annotated[
        CorrelationId | None,
        Meta(
            description="Without `deliveryId`: the one delivery of it to this repository that is "
            "unconfirmed, or else the newest confirmed."
        ),
    ] = None


class Completion(Confirmation, rename="camel"):
    """Which delivery the run is done with, and how."""

    conclusion: Annotated[
        Report, Meta(description="A failure stays, whatever the run says later.")
    ] = "success"


class Confirmed(msgspec.Struct, rename="camel"):
    """What the run was bound to."""

    success: bool
    delivery_id: str
    correlation_id: str
    state: Annotated[DeliveryState, Meta(description="Where the delivery stands now.")]


_DELIVERY = "dlv_01kwersrg07eryr9y4xngjgx8y"
EXAMPLES: dict[type, dict[str, Any]] = {
    NewMessage: {
        "eventType": "release-published",
        "repository": "aurora-labs/payments-api",
        "workflowRunId": "9821735001",
        "payload": {"version": "1.4.0"},
    },
    MessageStored: {
        "success": True,
        "eventId": "evt_01kwersrg03e1wmmvj9y20grp5",
        "consumersNotified": 1,
        "consumersLeftOut": 0,
        "message": "Stored. It goes to 1 consumer when its run has ended.",
        "messageId": "msg_01kwersrg07eryr9y4xngjgx8y",
        "correlationId": "cor_4b7reygzr0skgxwjpk9kqhcxfr",
        "duplicate": False,
        "redactions": [],
    },
    KeysWanted: {"repository": "aurora-labs/payments-api"},
    PublicKeys: {
        "keys": [
            {
                "consumerId": "sub_01kjmmgap8ravwnqh6m13q2gat",
                "publicKey": "-----BEGIN PUBLIC KEY-----\nMIIBIjAN…\n-----END PUBLIC KEY-----\n",
            }
        ]
    },
    Confirmation: {"deliveryId": _DELIVERY},
    Completion: {"deliveryId": _DELIVERY, "conclusion": "success"},
    Confirmed: {
        "success": True,
        "deliveryId": _DELIVERY,
        "correlationId": "cor_4b7reygzr0skgxwjpk9kqhcxfr",
        "state": "confirmed",
    },
}
