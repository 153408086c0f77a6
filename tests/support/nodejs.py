"""Node and its CDP clients inside a client's pod: Playwright's own Node, playwright-core that lies beside it, puppeteer-core by npm.

They are copied into a running pod: nobody needs an image with 150 MB of Node in it on each node of a cluster.
"""

import json
import pathlib
import re
import subprocess

from playwright._impl import _driver

from cluster import shell
from support import javascript
from support import release as releases

PUPPETEER = json.loads((javascript.CLIENTS / "package.json").read_text())["dependencies"]["puppeteer-core"]
FOLDER = "/tmp/js"


def copy(release: releases.Release, client: str, *, cache: pathlib.Path) -> None:
    """Put ``node``, ``playwright-core`` and ``puppeteer-core`` into ``FOLDER`` of the pod; npm's packages are kept in ``cache``."""
    node = pathlib.Path(_driver.compute_driver_executable()[0])
    _packages(cache)
    _unpack(release, client, "--directory", str(node.parent), "node", "package")
    # What no bare Debian has of what it is linked with.
    _unpack(release, client, "--dereference", "--directory", str(_library(node, "libatomic").parent), "libatomic.so.1")
    _unpack(
        release, client, "--exclude=*.map", "--exclude=*.ts", "--directory", str(cache), "node_modules"
    )  # fmt: skip


def run(release: releases.Release, client: str, script: str, *, timeout: float = 120) -> str:
    """Run a script (an ES module) in the pod; answers what it printed."""
    return release.cluster.kubectl(
        "exec", "--stdin", "--namespace", releases.CLIENTS, "--container", "client", client, "--",
        "env", f"LD_LIBRARY_PATH={FOLDER}", "sh", "-c",
        f"cd {FOLDER} && cat >script.mjs && exec timeout {timeout:g} ./node script.mjs",
        text=script, timeout=timeout + 30,
    )  # fmt: skip


def _packages(cache: pathlib.Path) -> None:
    if (cache / "node_modules" / "puppeteer-core" / "package.json").exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    shell.run(
        "npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund", "--ignore-scripts", "--no-save",
        f"puppeteer-core@{PUPPETEER}", timeout=300,
    )  # fmt: skip


def _library(program: pathlib.Path, name: str) -> pathlib.Path:
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, timeout=30, check=True).stdout
    found = re.search(rf"{name}\S* => (\S+)", said)
    assert found is not None, said
    return pathlib.Path(found[1])


def _unpack(release: releases.Release, client: str, *arguments: str) -> None:
    """Make an archive of what ``arguments`` name to tar, and unpack it in the pod."""
    into = f"mkdir -p {FOLDER} && exec tar --extract --no-same-owner --directory {FOLDER}"
    with subprocess.Popen(["tar", "--create", *arguments], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            [str(release.cluster.tools / "kubectl"), "exec", "--stdin", "--namespace", releases.CLIENTS, "--container", "client", client,
             "--", "sh", "-c", into],
            stdin=tar.stdout, env=release.cluster.environment(), capture_output=True, timeout=180, check=True,
        )  # fmt: skip
        assert tar.wait(30) == 0
