"""``snapshot``: several views of the page as it is in one moment, loaded once."""

from typing import Any

from browserpool.agent.actions import accessibility, answer, content, markdown, screenshot
from browserpool.agent.page import life
from browserpool.model.wire import snapshot


async def capture(page: life.Page, action: snapshot.Snapshot) -> answer.Answer:
    """The views by their formats' names; the picture as base64."""
    document = await content.read(page)
    result: dict[str, Any] = {}
    for wanted in action.formats:
        match wanted:
            case "content":
                result[wanted] = document.html
            case "markdown":
                result[wanted] = await markdown.convert(document)
            case "accessibilityTree":
                result[wanted] = await page.anew(lambda: accessibility.read(page))
            case "screenshot":
                result[wanted] = await screenshot.take(page, action.screenshot_options, viewport=action.viewport)
    return answer.json(result, page=page, title=document.title)
