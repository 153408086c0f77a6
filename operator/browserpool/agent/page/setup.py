"""A body to the CDP calls that make its rules, in no particular order. Pure.

A body that wishes nothing gets no call: the spare was made with a viewport, most often the one that is wanted, and with downloads refused.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from browserpool.agent import browser, driver
from browserpool.model.wire import shared

IDLE: Final = frozenset({"networkidle0", "networkidle2"})
MOST_AHEAD: Final = 4_000_000
"""Device pixels of a window that nobody has asked for yet; each may take four bytes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One CDP call on the page's session."""

    method: str
    params: dict[str, Any]


def calls(action: shared.QuickAction, *, window: driver.Params, wants_status: bool) -> list[Call]:
    """What must have been answered before the page loads.

    ``window``: what the page was made with. ``wants_status``: the document's HTTP status is asked for later.
    """
    return [
        *_network(action, wants_status=wants_status),
        *_emulation(action, window=window),
        *([Call(method="Network.setCookies", params={"cookies": cookies(action)})] if action.cookies else []),
        *(
            [Call(method="Page.setLifecycleEventsEnabled", params={"enabled": True})]
            if IDLE & set(action.goto_options.wait_until)
            else []
        ),
    ]


def window(wanted: shared.Viewport) -> driver.Params:
    """Its size, as ``Emulation.setDeviceMetricsOverride`` takes it."""
    if wanted == shared.DEFAULT_VIEWPORT:
        return browser.WINDOW
    orientation = (
        {"type": "landscapePrimary", "angle": 90} if wanted.is_landscape else {"type": "portraitPrimary", "angle": 0}
    )
    return {
        "width": wanted.width,
        "height": wanted.height,
        "deviceScaleFactor": wanted.device_scale_factor,
        "mobile": wanted.is_mobile,
        "screenOrientation": orientation,
    }


def may_be_ahead(wanted: shared.Viewport) -> bool:
    """Whether a page may be made with it before anybody wants it: a page of another size cannot tell, and it takes little memory."""
    return (
        not (wanted.is_mobile or wanted.has_touch)
        and wanted.width * wanted.height * wanted.device_scale_factor**2 <= MOST_AHEAD
    )


def viewport(wanted: shared.Viewport) -> list[Call]:
    """The window."""
    made = [Call(method="Emulation.setDeviceMetricsOverride", params=window(wanted))]
    if wanted.has_touch:
        made.append(Call(method="Emulation.setTouchEmulationEnabled", params={"enabled": True}))
    return made


def cookies(action: shared.QuickAction) -> list[dict[str, Any]]:
    """The body's cookies as CDP wants them; one without a home belongs to the body's ``url``."""
    return [_cookie(cookie, home=action.url) for cookie in action.cookies]


def filters(action: shared.QuickAction) -> bool:
    """Whether each request must be looked at."""
    return bool(
        action.reject_request_pattern
        or action.allow_request_pattern
        or action.reject_resource_types
        or action.allow_resource_types
    )


def _network(action: shared.QuickAction, *, wants_status: bool) -> Iterator[Call]:
    if wants_status or action.set_extra_http_headers or filters(action):
        # Small buffers: nobody asks for bodies, and Chromium would keep them.
        yield Call(method="Network.enable", params={"maxTotalBufferSize": 0, "maxResourceBufferSize": 0})
    if action.set_extra_http_headers:
        yield Call(method="Network.setExtraHTTPHeaders", params={"headers": action.set_extra_http_headers})
    if filters(action):
        # A service worker's own requests would pass by the filter.
        yield Call(method="Network.setBypassServiceWorker", params={"bypass": True})
    if refuses_websockets(action):
        # Neither Fetch nor Network.setBlockedURLs sees a WebSocket, so frames get one that leads nowhere. Patterns do not apply to
        # WebSockets, nor does this reach those of workers.
        script = {"source": _NO_WEBSOCKETS.strip(), "runImmediately": True}
        yield Call(method="Page.addScriptToEvaluateOnNewDocument", params=script)


_NO_WEBSOCKETS: Final = """
self.WebSocket = class WebSocket extends self.WebSocket {
  constructor(_, protocols) { super('wss://rejected.invalid/', protocols ?? []); }
};
"""


def refuses_websockets(action: shared.QuickAction) -> bool:
    """Whether the resource types leave WebSockets out."""
    kind = "websocket"
    return kind in action.reject_resource_types or kind not in (action.allow_resource_types or (kind,))


def _emulation(action: shared.QuickAction, *, window: driver.Params) -> Iterator[Call]:
    yield from (call for call in viewport(action.viewport) if call.params != window)
    if action.user_agent is not None:
        yield Call(method="Emulation.setUserAgentOverride", params={"userAgent": action.user_agent})
    if action.emulate_media_type is not None:
        yield Call(method="Emulation.setEmulatedMedia", params={"media": action.emulate_media_type})
    if action.add_script_tag or action.add_style_tag:
        # A page's policy is against what strangers put in, not against who asks for the page.
        yield Call(method="Page.setBypassCSP", params={"enabled": True})
    if not action.set_java_script_enabled:
        yield Call(method="Emulation.setScriptExecutionDisabled", params={"value": True})


_COOKIE_FIELDS: Final = ("name", "value", "domain", "path", "url", "expires", "http_only", "secure", "same_site", "priority",
                         "source_scheme", "source_port")  # fmt: skip


def _cookie(cookie: shared.Cookie, *, home: str | None) -> dict[str, Any]:
    made = cookie.model_dump(by_alias=True, exclude_none=True, include=set(_COOKIE_FIELDS))
    if cookie.url is None and cookie.domain is None:
        made["url"] = home
    if cookie.partition_key is not None:
        made["partitionKey"] = {
            "topLevelSite": cookie.partition_key.top_level_site,
            "hasCrossSiteAncestor": cookie.partition_key.has_cross_site_ancestor,
        }
    return made
