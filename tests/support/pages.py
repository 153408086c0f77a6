"""Quick actions on a real Chromium behind a real egress guard, without the agent's process around them."""

import contextlib
import dataclasses
import io
import ipaddress
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
from PIL import Image

from browserpool.agent import actions, browser
from browserpool.agent.actions import answer
from browserpool.agent.egress import flags, names, policy, proxy
from browserpool.model.wire import actions as wire
from support import chrome

LOCAL_NAMES = ("a.test", "b.test", "c.test")
"""Names that resolve to loopback in tests, so that there are sites of different origins."""


async def resolve(host: str) -> tuple[policy.Address, ...]:
    """``*.test`` is loopback; the rest is as the system says."""
    if host.endswith(".test"):
        return (ipaddress.ip_address("127.0.0.1"),)
    return tuple(await names.resolve(host))


@dataclasses.dataclass(slots=True, kw_only=True)
class Stand:
    """A browser to do actions on."""

    browser: browser.Browser
    guard: proxy.Guard

    async def perform(self, name: str, **body: Any) -> answer.Answer:
        """One action; the body's fields as keyword arguments, as they are on the wire."""
        async with actions.performed(name, orjson.dumps(body), browser=self.browser) as made:
            return made

    async def content(self, **body: Any) -> str:
        """The result of ``content``."""
        return orjson.loads((await self.perform("content", **body)).body)["result"]

    async def meta(self, **body: Any) -> dict[str, Any]:
        """The meta of ``content``."""
        return orjson.loads((await self.perform("content", **body)).body)["meta"]

    async def picture(self, **body: Any) -> Image.Image:
        """The screenshot, decoded."""
        made = await self.perform("screenshot", **body)
        return Image.open(io.BytesIO(made.body))

    async def contexts(self) -> int:
        """Browser contexts that exist, the default one not counted."""
        return len((await self.browser.connection.call("Target.getBrowserContexts"))["browserContextIds"])

    async def targets(self) -> list[str]:
        """The types of targets that exist."""
        found = await self.browser.connection.call("Target.getTargets")
        return sorted(target["type"] for target in found["targetInfos"])


@contextlib.asynccontextmanager
async def stand(*, allow: Iterable[str] = ("127.0.0.0/8",), resolver: names.Resolve = resolve) -> AsyncIterator[Stand]:
    """Start Chromium behind a guard that allows ``allow``."""
    async with (
        proxy.guard(policy.read(allow=allow), resolve=resolver) as guard,
        chrome.running(flags=flags.chromium(guard.address)) as connection,
    ):
        made = browser.Browser(connection=connection, egress=guard.notes)
        try:
            yield Stand(browser=made, guard=guard)
        finally:
            await made.close()


def known_actions() -> list[str]:
    """Every quick action there is."""
    return sorted(wire.AT_AGENTS)
