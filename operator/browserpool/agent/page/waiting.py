"""After the load: put scripts and styles in, wait for a function, a selector, an event, a time.

The selector is polled from here instead of by a script in the page: that works where scripts are off, and outlives a page that
navigates meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import orjson

from browserpool.agent import driver
from browserpool.agent.page import budget, scripts
from browserpool.model import errors
from browserpool.model.wire import shared

MOST_MS: Final = 60_000
TAG_MS: Final = 30_000
_POLLS: Final = (0.01, 0.02, 0.05)
"""Seconds between looks; the last one repeats."""


async def settle(action: shared.QuickAction, *, session: driver.Session, time: budget.Budget) -> None:
    """All that the body wants of a loaded page before it is captured; ``bestAttempt`` forgives what fails or takes too long.

    Raises:
        errors.InvalidRequest: the selector is none, or the function.
        errors.PageFailed: a tag did not load, what was waited for did not come, the page is gone.
    """
    await _tags(action, session=session, time=time)
    if action.wait_for_function is not None:
        await _function(action, action.wait_for_function, session=session, time=time)
    if action.wait_for_selector is not None:
        await _selector(action, action.wait_for_selector, session=session, time=time)
    if action.wait_for_event is not None:
        await _event(action, action.wait_for_event, session=session, time=time)
    if action.wait_for_timeout:
        await _pause(session, seconds=time.at_most(action.wait_for_timeout, most=MOST_MS))


_ADD_TAG: Final = """
(({kind, url, content, type, id}) => new Promise((done, failed) => {
  const tag = document.createElement(kind === 'script' ? 'script' : url ? 'link' : 'style');
  if (id) tag.id = id;
  if (kind === 'script') { if (type) tag.type = type; } else if (url) { tag.rel = 'stylesheet'; }
  if (url) {
    tag.onload = () => done();
    tag.onerror = () => failed(new Error('could not load ' + url));
    if (kind === 'script') tag.src = url; else tag.href = url;
  } else if (kind === 'script') { tag.text = content; } else { tag.append(content); }
  (document.head || document.documentElement).append(tag);
  if (!url) done();
}))
"""


async def _tags(action: shared.QuickAction, *, session: driver.Session, time: budget.Budget) -> None:
    tags: list[tuple[str, int, shared.ScriptTag | shared.StyleTag]] = [
        *(("script", index, tag) for index, tag in enumerate(action.add_script_tag)),
        *(("style", index, tag) for index, tag in enumerate(action.add_style_tag)),
    ]
    for kind, index, tag in tags:
        wish = orjson.dumps({"kind": kind, **tag.model_dump(exclude_none=True)}).decode()
        try:
            await scripts.evaluate(session, f"{_ADD_TAG.strip()}({wish})", deadline=time.at_most(0, most=TAG_MS))
        except errors.PageFailed as error:
            message = f"add{kind.capitalize()}Tag[{index}]: {error.message}"
            _forgive(action, session, errors.PageFailed(message, code=error.code))


_LOOK: Final = """
((selector, visible, hidden) => {
  const found = document.querySelector(selector);
  if (!visible && !hidden) return found !== null;
  const seen = (() => {
    if (found === null) return false;
    const style = getComputedStyle(found), box = Element.prototype.getBoundingClientRect.call(found);
    return style.visibility !== 'hidden' && style.visibility !== 'collapse' && box.width > 0 && box.height > 0;
  })();
  return visible ? seen : !seen;
})
"""


async def _selector(
    action: shared.QuickAction, wanted: shared.WaitForSelector, *, session: driver.Session, time: budget.Budget
) -> None:
    seconds = time.at_most(wanted.timeout, most=MOST_MS)
    arguments = orjson.dumps([wanted.selector, wanted.visible, wanted.hidden]).decode()
    look = f"{_LOOK.strip()}(...{arguments})"
    try:
        came = await poll(session, look, seconds=seconds)
    except scripts.ScriptFailed as error:
        if error.name == "DOMException":
            raise errors.InvalidRequest(
                f"waitForSelector.selector is no CSS selector that Chromium can read (given: {wanted.selector!r})"
            ) from error
        raise
    if not came:
        state = "visible" if wanted.visible else "hidden" if wanted.hidden else "there"
        message = f"waitForSelector: {wanted.selector!r} was not {state} within {seconds * 1000:.0f} ms"
        _forgive(action, session, errors.PageFailed(message, code=errors.Code.TIMEOUT))


# Of what the caller wrote, only what it gives counts; an async function is over when it is over.
_CALL: Final = """
(async () => {
  const wanted = (%s
  );
  const given = typeof wanted === 'function' ? wanted() : wanted;
  return given instanceof Promise ? (await given, true) : Boolean(given);
})()
"""


async def _function(
    action: shared.QuickAction, wanted: shared.WaitForFunction, *, session: driver.Session, time: budget.Budget
) -> None:
    seconds = time.at_most(wanted.timeout, most=MOST_MS)
    polls = _POLLS if isinstance(wanted.polling, str) else (wanted.polling / 1000,)
    try:
        # The caller's script is about what the page's own have made.
        came = await poll(session, _CALL.strip() % wanted.fn, seconds=seconds, polls=polls, world=scripts.World.PAGES)
    except scripts.ScriptFailed as error:
        if error.name == "SyntaxError":
            raise errors.InvalidRequest(
                f"waitForFunction.fn is no function or expression of JavaScript: {error.message}"
            ) from error
        _forgive(action, session, errors.PageFailed(f"waitForFunction: {error.message}", code=error.code))
        return
    if not came:
        message = f"waitForFunction: it gave nothing true within {seconds * 1000:.0f} ms"
        _forgive(action, session, errors.PageFailed(message, code=errors.Code.TIMEOUT))


_LISTEN: Final = """
(event => new Promise(heard => {
  for (const target of [document, window]) target.addEventListener(event, () => heard(true), {once: true});
}))
"""


async def _event(
    action: shared.QuickAction, wanted: shared.WaitForEvent, *, session: driver.Session, time: budget.Budget
) -> None:
    seconds = time.at_most(wanted.timeout, most=MOST_MS)
    listen = f"{_LISTEN.strip()}({orjson.dumps(wanted.event).decode()})"
    if not await poll(session, listen, seconds=seconds):
        message = f"waitForEvent: no event {wanted.event!r} came within {seconds * 1000:.0f} ms"
        _forgive(action, session, errors.PageFailed(message, code=errors.Code.TIMEOUT))


async def poll(
    session: driver.Session,
    expression: str,
    *,
    seconds: float,
    polls: Sequence[float] = _POLLS,
    world: scripts.World = scripts.World.OWN,
) -> bool:
    """Look until ``expression`` is true, for at most ``seconds``; whether it became so. ``polls``: seconds between looks."""
    pauses, pause = iter(polls), polls[-1]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                # Beyond our own deadline, so that it is ours that ends the call.
                if await scripts.evaluate(session, expression, deadline=seconds + 1.0, world=world):
                    return True
                await asyncio.sleep(next(pauses, pause))
    return False


async def _pause(session: driver.Session, *, seconds: float) -> None:
    """Wait, unless the page is gone before."""
    done, _ = await asyncio.wait({session.closed}, timeout=seconds)
    if done:
        raise errors.PageFailed(session.closed.result().message, code=session.closed.result().code)


def _forgive(action: shared.QuickAction, session: driver.Session, failure: errors.PageFailed) -> None:
    """Go on if the body says ``bestAttempt`` and there is still a page to go on with."""
    if not action.best_attempt or session.failure is not None:
        raise failure
