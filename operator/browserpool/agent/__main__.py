"""``python -m browserpool.agent``: read the settings, spawn Chromium, and only then import the rest.

Chromium takes some 70 ms to answer, and so do our imports, several times over: this way both happen at once.
"""

import gc
import os
import sys
from collections.abc import Callable

from browserpool.agent import launch, processes
from browserpool.agent.settings import AgentSettings
from browserpool.lib import plain, settings


def main() -> int:
    """Run the agent; returns its exit code (``app.Exit``)."""
    try:
        wanted = plain.from_environment(AgentSettings, os.environ)
    except settings.SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    ahead: launch.Ahead | str
    try:
        ahead = launch.ahead(wanted)
    except (launch.NotFound, OSError) as error:
        ahead = f"Chromium cannot be started: {error}"
    # Before the spawn, this and what logs need would take a tenth of the time until Chromium runs. No page is loaded in it yet.
    processes.hide_memory()
    import logging

    from browserpool.lib import logs

    logs.setup(process="agent", form=wanted.log_format, level=wanted.log_level)
    if isinstance(ahead, str):
        logging.getLogger("browserpool.agent").error(ahead)
        return 4
    return _import_app(wanted)(wanted, ahead=ahead)


def _import_app(wanted: AgentSettings) -> Callable[..., int]:
    """Import the rest, at two thirds of the time that it would take as it is."""
    if wanted.router_url.startswith("http:"):
        # aiohttp reads the system's certificates when it is imported; this process will speak TLS to nobody.
        os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    # Looking for plugins, pydantic would read the metadata of every package that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()  # nothing that is imported is ever garbage
    from browserpool.agent import app

    gc.freeze()
    gc.enable()
    return app.main


if __name__ == "__main__":
    sys.exit(main())
