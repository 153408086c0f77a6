"""What Chromium writes to its standard error is read by the loop, and its descriptor closed once, by whoever owns it."""

import os
import threading

import uvloop

from browserpool.agent import chromium, launch
from support import waiting

STARTS = 200
OPENERS = 6


def test_no_descriptor_of_another_thread_is_closed_with_it(tmp_path):
    """A number that is closed twice may have become a file's in between: of a profile that is being removed, say."""
    binary = tmp_path / "chromium"
    binary.write_text("#!/bin/sh\necho here >&2\nexec sleep 100\n")
    binary.chmod(0o755)
    recipe = launch.Recipe(binary=str(binary), sandbox=False, egress=(), features=(), extra=(), base=str(tmp_path))
    robbed, over = [], threading.Event()

    def open_and_close():
        while not over.is_set():
            descriptor = os.open(tmp_path, os.O_RDONLY)
            try:
                os.fstat(descriptor)
                os.close(descriptor)
            except OSError as error:
                robbed.append(error)

    async def start_and_end():
        for _ in range(STARTS):
            launched = launch.launch(recipe)
            output, standard_error = await chromium._read(launched)
            await waiting.until(lambda: standard_error.last_words)  # noqa: B023 - awaited here
            await chromium._end(launched, output)

    threads = [threading.Thread(target=open_and_close) for _ in range(OPENERS)]
    for thread in threads:
        thread.start()
    try:
        uvloop.run(start_and_end())
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert robbed == []
