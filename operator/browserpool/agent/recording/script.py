"""What runs in the pages: rrweb's recorder, in a world of its own, which the page's scripts neither see nor reach."""

import functools
import importlib.resources
from typing import Final

VERSION: Final = "2.1.6"
"""Of ``@rrweb/record``; its file lies in ``vendor``."""
WORLD: Final = "browserpool-recording"
BINDING: Final = "browserpoolRecord"
"""The function by which the script tells an event, as JSON."""

_BEGIN: Final = """
if (window === window.top && globalThis.rrwebRecord && !globalThis.browserpoolRecording) {
  globalThis.browserpoolRecording = true;
  rrwebRecord.record({
    emit: (event) => globalThis.%(binding)s?.(JSON.stringify(event)),
    recordAfter: "DOMContentLoaded",
    maskAllInputs: true,
    recordCanvas: false,
    recordCrossOriginIframes: false,
    errorHandler: () => true,
  });
}
"""
"""Frames of the page's own origin are recorded with it; what is typed is masked."""


@functools.cache
def source() -> str:
    """The script."""
    recorder = importlib.resources.files("browserpool.agent.recording").joinpath("vendor", "rrweb-record.min.js")
    return recorder.read_text(encoding="utf-8") + _BEGIN % {"binding": BINDING}
