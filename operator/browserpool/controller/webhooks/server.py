"""HTTPS for the API server, by kopf's webhook server, which asks a function of ours instead of an operator's handlers.

kopf's server gives what a review needs: the path as ``webhook``, bodies up to 1 MiB, the answer as it is made here (a status code, warnings
and a patch go through untouched). Two things are done here instead:

* Certificates. kopf's way with new files is to close the port and open it again, and it fails for good on files that are half written. Here
  its TLS context is ours: new files are tried apart first, then loaded into the context that is in use; new connections have them.
* The deadline. The API server goes on without an answer after the webhook's timeout; a request is given up before that.

A bug in a decision must not stand in the way of anybody's pod: what fails is answered 500, and ``failurePolicy: Ignore`` lets it pass.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import pathlib
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import kopf
from aiohttp import web

from browserpool import metrics
from browserpool.controller.webhooks import review
from browserpool.lib import clock, tasks
from browserpool.model import errors

log = logging.getLogger(__name__)

DEADLINE: Final = 4.0
"""Seconds for one review; the webhooks' ``timeoutSeconds`` is 5."""
RELOAD_EVERY: Final = 10.0
"""Seconds between two looks at the certificate's files; kubelet itself takes a minute to bring a changed Secret into a pod."""
_NEVER: Final = 10.0 * 365 * 86400
"""Seconds until kopf looks at the files itself."""

Decision = Callable[[review.Request], Awaitable[review.Answer]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Where the certificate with its chain, and its key, are kept; PEM."""

    chain: pathlib.Path
    key: pathlib.Path

    def digest(self) -> str:
        """Tells one pair from another."""
        return hashlib.sha256(self.chain.read_bytes() + b"\0" + self.key.read_bytes()).hexdigest()


class Reloading:
    """A TLS context whose certificate is that of the files, as soon as they fit together.

    It is not loaded into the context that serves, in which certificate and key are replaced one after the other: whoever shakes hands in
    between is refused, and after a key that does not fit everybody is. Each pair has a context of its own, which new connections are given.
    """

    def __init__(self, files: Certificate) -> None:
        self._files = files
        self._loaded = files.digest()
        self._newest = self.context = _context(files)
        self.context.sni_callback = self._give_newest

    async def look(self) -> None:
        """Load the files if they are others than before; what cannot be loaded is tried again at the next look."""
        try:
            await asyncio.to_thread(self._look)
        except (OSError, ssl.SSLError) as error:
            log.warning("the webhooks' certificate cannot be loaded; the last one serves on", extra={"why": str(error)})

    def _look(self) -> None:
        found = self._files.digest()
        if found == self._loaded:
            return
        self._newest = _context(self._files)
        # If they have changed meanwhile, the next look finds others again.
        self._loaded = found
        log.info("the webhooks' certificate was loaded again")

    def _give_newest(
        self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        """Called in each handshake, whether or not the client names a server."""
        connection.context = self._newest


def _context(files: Certificate) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(files.chain, files.key)
    return made


@contextlib.asynccontextmanager
async def serving(
    decisions: Mapping[str, Decision],
    *,
    certificate: Certificate,
    host: str,
    port: int,
    reload_every: float = RELOAD_EVERY,
    deadline: float = DEADLINE,
) -> AsyncIterator[int]:
    """Answer reviews at ``/<name>`` by ``decisions[name]`` while the block runs; yields the port, which is a free one for 0.

    On leaving, the port closes, and what is being decided is decided.

    Raises:
        OSError, ssl.SSLError: the certificate cannot be loaded, or the port not be had.
    """
    reloading = Reloading(certificate)
    # One line for each review, which the metric counts and the decisions log where there is something to say.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    server = kopf.WebhookServer(
        addr=host,
        port=port or None,
        context=reloading.context,
        certfile=certificate.chain,
        pkeyfile=certificate.key,
        file_check_interval=_NEVER,
    )
    reviewed = _Reviews(decisions, deadline=deadline)
    async with tasks.Background() as loops, server, contextlib.aclosing(_generator(server, reviewed)) as configurations:
        configuration = await anext(configurations)
        looking = loops.spawn(
            tasks.periodically(reloading.look, every=reload_every, name="certificate"), name="certificate"
        )
        try:
            yield urllib.parse.urlsplit(configuration["url"]).port or 443
        finally:
            looking.cancel()


def _generator(server: kopf.WebhookServer, reviewed: "_Reviews") -> Any:
    """What kopf calls a server: an asynchronous generator, which serves from its first value until it is closed."""
    return server(reviewed)


class _Reviews:
    """The function that kopf's server calls."""

    def __init__(self, decisions: Mapping[str, Decision], *, deadline: float) -> None:
        self._decisions = decisions
        self._deadline = deadline

    async def __call__(
        self, request: Any, *, webhook: str | None = None, headers: object = None, sslpeer: object = None
    ) -> Any:
        del headers, sslpeer  # kopf gives them by name
        name = webhook or ""
        decision = self._decisions.get(name)
        if decision is None:
            raise web.HTTPNotFound(text=f"No webhook is at /{name[:60]}; there are: {', '.join(self._decisions)}.")
        started = clock.monotonic()
        outcome = "failed"
        try:
            asked = review.asked(request)
            async with asyncio.timeout(self._deadline):
                answer = await decision(asked)
            outcome = answer.outcome
        except errors.InvalidRequest as error:
            outcome = "invalid"
            raise web.HTTPBadRequest(text=error.message) from error
        except TimeoutError as error:
            outcome = "timeout"
            raise web.HTTPGatewayTimeout(text=f"Not decided within {self._deadline:g} s.") from error
        finally:
            metrics.ADMISSION_SECONDS.labels(name, outcome).observe(clock.monotonic() - started)
        if answer.warning:
            log.warning("a pod was created otherwise than asked for", extra={"pod": _pod(asked), "why": answer.warning})
        return review.answered(asked, answer)


def _pod(request: review.Request) -> str:
    metadata = request.object.get("metadata") or {}
    return f"{request.namespace}/{request.name or metadata.get('name') or metadata.get('generateName') or '?'}"
