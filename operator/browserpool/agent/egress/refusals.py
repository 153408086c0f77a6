"""Why a connection is not made: what to tell Chromium, what to remember for the page's error, what to count. Pure."""

from browserpool.agent.egress import policy, socks
from browserpool.model import errors


class Refused(Exception):
    """A connection that is not made. ``verdict`` is the metric's label."""

    def __init__(self, message: str, *, reply: socks.Reply, code: errors.Code, verdict: str) -> None:
        super().__init__(message)
        self.message = message
        self.reply = reply
        self.code = code
        self.verdict = verdict


def unknown(host: str, why: object) -> Refused:
    """The host has no address."""
    return Refused(
        f"The name {host!r} does not resolve: {why}.",
        reply=socks.Reply.HOST_UNREACHABLE,
        code=errors.Code.DNS,
        verdict="unresolved",
    )


def forbidden(host: str, port: int, address: policy.Address, reason: str) -> Refused:
    """The policy says no."""
    target = f"{host}:{port}" if host == str(address) else f"{host}:{port}, which is {address}"
    return Refused(
        f"Pages may not reach {target}: {reason}.",
        reply=socks.Reply.NOT_ALLOWED,
        code=errors.Code.INVALID_ADDRESS,
        verdict="blocked",
    )


def guarded(host: str, port: int) -> Refused:
    """The session's guardrails do not have this host."""
    return Refused(
        f"The session's guardrails do not let pages reach {host}:{port}.",
        reply=socks.Reply.NOT_ALLOWED,
        code=errors.Code.INVALID_ADDRESS,
        verdict="guardrail",
    )


def timed_out(host: str, port: int, seconds: float) -> Refused:
    """No address answered."""
    return Refused(
        f"{host}:{port} did not accept a connection within {seconds:g} s.",
        reply=socks.Reply.TIMED_OUT,
        code=errors.Code.ABORTED,
        verdict="timeout",
    )


def failed(host: str, port: int, error: OSError) -> Refused:
    """The last address said no, or no way leads there."""
    if isinstance(error, ConnectionRefusedError):
        return Refused(
            f"{host}:{port} refused the connection: nothing listens there.",
            reply=socks.Reply.REFUSED,
            code=errors.Code.REFUSED,
            verdict="refused",
        )
    return Refused(
        f"{host}:{port} cannot be reached: {error.strerror or error}.",
        reply=socks.Reply.HOST_UNREACHABLE,
        code=errors.Code.UNREACHABLE,
        verdict="unreachable",
    )
