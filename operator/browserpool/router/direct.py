"""Clients inside the cluster that speak to a session's browser themselves, with no router in between.

Such a client gets the pod's own address with a claim token in it, which is good for connecting for two minutes. Since no message passes
a router then, the client says that the session is in use, well within ``keepAlive``; any router will do, also one that never saw the
session before. A client that stops saying so loses the session as if it had been idle.
"""

from typing import Any

from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.router import binding, holding, lookup, services


def is_asked_for(call: services.Call) -> bool:
    """Whether the request has ``direct=true``; raises as ``binding.is_yes``."""
    return binding.is_yes(call.request.query, "direct")


def fields(call: services.Call, held: holding.Held) -> dict[str, Any]:
    """What an answer holds more: the pod's address, and the milliseconds within which ``renew`` is to be called."""
    return {
        "directUrl": call.services.agents.direct_url(held.party),
        "keepAlive": round(held.keep_alive * 1000),
    }


async def renew(call: services.Call) -> web.StreamResponse:
    """POST /v1/sessions/{session}/renew: the session is in use; ``direct=true`` asks for a fresh ``directUrl``."""
    straight, held = is_asked_for(call), await lookup.mine(call)
    # From now on this router renews it, with the others that it holds, in the next round; the router that did so before hears of it.
    call.services.claiming.holding.add(held)
    held.touch()
    answer: dict[str, Any] = {"sessionId": held.session_id}
    if (now := call.services.database_clock.now()) is not None:
        answer["expiresAt"] = round((now + held.keep_alive) * 1000)
    answer |= fields(call, held) if straight else {"keepAlive": round(held.keep_alive * 1000)}
    return lib_web.json_response(answer)
