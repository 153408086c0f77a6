"""One tree of errors. Each says what failed, why, and how to mend it; each knows its HTTP status and its code on the wire.

Statuses and codes are api.md's §6 (Cloudflare Browser Run's). SDKs re-send on 408, 409, 429 and 5xx, so what would fail again
(a page that cannot load) is 422, and what should be tried again carries ``retry_after``.
"""

import enum
import types
from collections.abc import Mapping
from typing import ClassVar


class Code(enum.IntEnum):
    """``errors[].code`` on the wire."""

    BAD_REQUEST = 1001
    NOT_FOUND = 1002
    NO_BROWSER = 1003
    TOO_MANY = 1004
    TOO_LARGE = 1005
    FORBIDDEN = 1006
    UNAUTHORIZED = 10000
    INTERNAL = 2000
    CERTIFICATE = 5000
    UNREACHABLE = 5001
    ABORTED = 5002
    REDIRECTS = 5003
    HTTP2 = 5004
    DNS = 5005
    CONNECTION_CLOSED = 5006
    EMPTY_HTTP_ERROR = 5007
    REFUSED = 5008
    NETWORK = 5009
    INVALID_ADDRESS = 5010
    EMPTY_RESPONSE = 5011
    CONTEXT_LOST = 6000
    TARGET_CLOSED = 6001
    TIMEOUT = 6002
    CAPTURE_FAILED = 6003
    MODEL_FAILED = 7000
    NOT_CONFIGURED = 7001


class BrowserpoolError(Exception):
    """The root. ``retry_after`` is in seconds, for the header of that name; ``None`` leaves the header out."""

    status: ClassVar[int] = 500
    default_code: ClassVar[Code] = Code.INTERNAL
    beside: Mapping[str, object] = types.MappingProxyType({})
    """What stands beside ``errors`` on the wire."""
    headers: Mapping[str, str] = types.MappingProxyType({})
    """What the answer says besides, where something was done before it failed."""

    def __init__(self, message: str, *, code: Code | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.retry_after = retry_after


class InvalidRequest(BrowserpoolError):
    """The request cannot be understood; the message names the field."""

    status = 400
    default_code = Code.BAD_REQUEST


class Unauthorized(BrowserpoolError):
    """No credential, or one that nobody gave out."""

    status = 401
    default_code = Code.UNAUTHORIZED


class Forbidden(BrowserpoolError):
    """A good credential for something else."""

    status = 403
    default_code = Code.FORBIDDEN


class NotFound(BrowserpoolError):
    """No such pool, session or target."""

    status = 404
    default_code = Code.NOT_FOUND


class SessionOver(BrowserpoolError):
    """The session has ended; its browser serves somebody else."""

    status = 410
    default_code = Code.NOT_FOUND


class TooLarge(BrowserpoolError):
    """The body is over the limit."""

    status = 413
    default_code = Code.TOO_LARGE


class PageFailed(BrowserpoolError):
    """The page failed, timed out or crashed. Asking again would end the same way, so clients must not retry."""

    status = 422
    default_code = Code.NETWORK


class ModelFailed(BrowserpoolError):
    """A language model was asked and gave nothing that is of use; asked again, it would cost again. ``raw`` is what it said, if it did."""

    status = 422
    default_code = Code.MODEL_FAILED

    def __init__(self, message: str, *, raw: str | None = None) -> None:
        super().__init__(message)
        if raw is not None:
            self.beside = {"rawAiResponse": raw}


class ModelUnavailable(BrowserpoolError):
    """A language model's provider is away, or asks to be left alone for a while."""

    status = 503
    default_code = Code.MODEL_FAILED


class NotConfigured(BrowserpoolError):
    """The installation lacks what this needs; the message says which setting gives it."""

    status = 501
    default_code = Code.NOT_CONFIGURED


class TooManyRequests(BrowserpoolError):
    """Over the token's rate or concurrency, or the queue is full."""

    status = 429
    default_code = Code.TOO_MANY


class QueueFull(TooManyRequests):
    """As many requests wait for the pool's browsers as may: it is the pool that is short, whoever asks."""


class StaleFence(BrowserpoolError):
    """The claim is older than the browser's newest: whoever holds it has lost the browser."""

    status = 409
    default_code = Code.CONTEXT_LOST


class Conflict(BrowserpoolError):
    """Somebody else has just taken this name, id or secret."""

    status = 409
    default_code = Code.BAD_REQUEST


class BrowserLost(BrowserpoolError):
    """The browser or its agent went away under the request. Another browser may serve it."""

    status = 502
    default_code = Code.CONTEXT_LOST


class UpstreamFailed(BrowserpoolError):
    """The other system, which serves a part of the pool's callers, cannot be reached or failed."""

    status = 502
    default_code = Code.CONTEXT_LOST


class NoBrowser(BrowserpoolError):
    """No browser became free in time."""

    status = 503
    default_code = Code.NO_BROWSER


class RegionStale(NoBrowser):
    """What a region says of its browsers is too old to be trusted."""


class NotOffered(BrowserpoolError):
    """Nobody has set this up here, or it is left out on purpose. Asking again would end the same way."""

    status = 501
    default_code = Code.BAD_REQUEST


class Unavailable(BrowserpoolError):
    """The store cannot be reached, or this process is stopping."""

    status = 503
    default_code = Code.INTERNAL


class Contended(Unavailable):
    """The store answers, but others kept it from doing this: it is not away."""


class AllInUse(Contended):
    """This process has no connection to the store left. Whether the store answers has to be found out in another way."""


class SchemaTooNew(Unavailable):
    """A newer version of browserpool has migrated the database; this one must not touch it."""


class ClusterUnavailable(Unavailable):
    """The API server of the cluster cannot be reached, or asks to be left alone for a while."""


class WatchExpired(BrowserpoolError):
    """The API server no longer has what happened since that resource version: list again."""

    status = 410
