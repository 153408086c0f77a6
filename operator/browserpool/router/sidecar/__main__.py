"""``python -m browserpool.router.sidecar``: the sidecar as a process, configured by its environment."""

import os
import sys

import uvloop

from browserpool.lib import logs, tasks
from browserpool.lib import settings as lib_settings
from browserpool.router.sidecar import app, settings


async def serve(config: settings.SidecarSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = tasks.stop_on_signals()
    async with app.running(config):
        await stop.wait()


def main() -> int:
    """Exit code 0 after an orderly stop, 1 if it could not start, 2 if the settings are wrong."""
    try:
        config = lib_settings.from_environment(settings.SidecarSettings, os.environ)
    except lib_settings.SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.setup(process="sidecar", form=config.log_format, level=config.log_level)
    try:
        uvloop.run(serve(config))
    except OSError as error:
        sys.stderr.write(f"The sidecar cannot start: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
