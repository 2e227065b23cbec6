"""`POST /api/shield/keys`: for whom the run that calls can encrypt its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.operations import shield_keys
from zekt_bot.web.api.models import KeysWanted, PublicKey, PublicKeys

if TYPE_CHECKING:
    from zekt_bot.web.api.edge import Call


async def keys(call: Call) -> PublicKeys:
    """One entry for each key of each approved subscription of its workflow's service."""
    wanted: KeysWanted = call.body
    call.run.check_names(wanted.repository)
    found = await shield_keys.recipients(call.broker, call.run.principal)
    return PublicKeys([PublicKey(each.consumer_id, each.public_key) for each in found])
