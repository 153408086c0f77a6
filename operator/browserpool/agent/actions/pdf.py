"""``pdf``: the page, printed."""

import asyncio
import base64
from typing import Final

from browserpool.agent import driver
from browserpool.agent.actions import answer
from browserpool.agent.page import life
from browserpool.model import errors
from browserpool.model.wire import pdf

_CHUNK: Final = 4 * 1024 * 1024
_MOST_MS: Final = 300_000
_TRANSPARENT: Final = {"color": {"r": 0, "g": 0, "b": 0, "a": 0}}


async def capture(page: life.Page, action: pdf.Pdf) -> answer.Answer:
    """The PDF's bytes.

    Raises:
        errors.PageFailed: it took longer than ``pdfOptions.timeout``, is too large, or Chromium refused (a page that is not there).
    """
    options = action.pdf_options
    seconds = page.time.at_most(options.timeout, most=_MOST_MS)
    try:
        async with asyncio.timeout(seconds):
            if options.omit_background:
                await page.call("Emulation.setDefaultBackgroundColorOverride", _TRANSPARENT)
            printed = await page.anew(lambda: page.call("Page.printToPDF", parameters(options)))
            return answer.Answer(content_type="application/pdf", body=await _read(page, printed["stream"]))
    except TimeoutError as error:
        raise errors.PageFailed(
            f"Printing did not end within {seconds * 1000:.0f} ms (pdfOptions.timeout).", code=errors.Code.TIMEOUT
        ) from error


def parameters(options: pdf.PdfOptions) -> driver.Params:
    """The options as CDP wants them; lengths are in inches in both."""
    width, height = options.paper
    return {
        "transferMode": "ReturnAsStream",
        "landscape": options.landscape,
        "displayHeaderFooter": options.display_header_footer,
        "headerTemplate": options.header_template,
        "footerTemplate": options.footer_template,
        "printBackground": options.print_background,
        "scale": options.scale,
        "paperWidth": width,
        "paperHeight": height,
        "marginTop": options.margin.top,
        "marginBottom": options.margin.bottom,
        "marginLeft": options.margin.left,
        "marginRight": options.margin.right,
        "pageRanges": options.page_ranges,
        "preferCSSPageSize": options.prefer_css_page_size,
        "generateTaggedPDF": options.tagged,
        "generateDocumentOutline": options.outline,
    }


async def _read(page: life.Page, handle: str) -> bytes:
    """The stream, whole: in pieces, so that a PDF without end is noticed before it fills the memory."""
    pieces = bytearray()
    while len(pieces) <= answer.MAX_BYTES:
        piece = await page.call("IO.read", {"handle": handle, "size": _CHUNK})
        pieces += base64.b64decode(piece["data"]) if piece.get("base64Encoded") else piece["data"].encode()
        if piece["eof"]:
            # The stream goes with its page; to close it would cost a round trip.
            return bytes(pieces)
    raise errors.PageFailed(
        f"The PDF has more than {answer.MAX_BYTES} bytes; print fewer pages (pdfOptions.pageRanges).",
        code=errors.Code.CAPTURE_FAILED,
    )
