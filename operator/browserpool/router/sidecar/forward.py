"""One request to the router, as it comes, and the answer back: streamed both ways, ended when either side goes away."""

import dataclasses

from aiohttp import web

from browserpool.lib import tasks
from browserpool.model import errors
from browserpool.model.wire import envelope
from browserpool.router import bearer, relay
from browserpool.router.sidecar import passing, settings, tokenfile, upstream


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, and the parts of this process."""

    request: web.Request
    settings: settings.SidecarSettings
    token: tokenfile.TokenFile
    router: upstream.Router
    background: tasks.Background

    def headers(self) -> passing.Headers:
        """The request's headers, as the router is to see them; the token is read anew each time."""
        own = passing.Own(
            token=self.token.read(),
            node=self.settings.node,
            pool=self.settings.pool,
            base=f"http://{self.request.host}",
        )
        return passing.onward(self.request.headers, query=self.request.query, own=own)

    def refused(self, status: int, body: bytes) -> errors.Unauthorized | None:
        """What is to be said instead of the router's 401, if it is not the client's own token that it does not take."""
        if status != 401 or bearer.said(headers=self.request.headers, query=self.request.query) is not None:
            return None
        return errors.Unauthorized(self.token.complaint(_message(body)))


async def forward(call: Call) -> web.StreamResponse:
    """Any request; the router's answer, whatever it is."""
    request = call.request
    body = request.content if request.body_exists else None
    async with call.router.ask(
        request.method, request.rel_url.raw_path_qs, headers=call.headers(), body=body
    ) as answer:
        if answer.status == 401 and (mended := call.refused(401, await answer.read())) is not None:
            raise mended
        return await relay.passed_on(request, answer, headers=passing.end_to_end(answer.headers))


def _message(body: bytes) -> str:
    return envelope.message(body) or "it answered 401"
