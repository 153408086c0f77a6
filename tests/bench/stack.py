"""What the benchmarks run against: a real ``browserpool up`` in a directory of its own, and a page server on loopback."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import tempfile

import aiohttp
import yaml
from aiohttp import web

PICTURES = 20
START_DEADLINE = 120.0
STOP_DEADLINE = 60.0


@contextlib.asynccontextmanager
async def pages():
    """Serve ``/small`` (10 KB) and ``/heavy`` (about 515 KB in 20 pictures); yields the address."""
    small = (
        "<!doctype html><title>small</title><h1>A page of ten kilobytes</h1>"
        + "<p>Lorem ipsum dolor sit amet.</p>" * 330
    ).encode()
    picture = (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="320" height="200"><!--'
        + b"x" * 25_000
        + b"--><rect width='99%' height='99%'/></svg>"
    )
    heavy = (
        "<!doctype html><title>heavy</title>" + "".join(f"<img src=/picture/{n}>" for n in range(PICTURES))
    ).encode()

    async def page(request):
        return web.Response(body=small if request.path == "/small" else heavy, content_type="text/html")

    async def image(_request):
        return web.Response(body=picture, content_type="image/svg+xml", headers={"Cache-Control": "no-store"})

    app = web.Application()
    app.router.add_get("/small", page)
    app.router.add_get("/heavy", page)
    app.router.add_get("/picture/{number}", image)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def manifest(*, replicas, **spec):
    """A pool whose pages may reach loopback, where the benchmarks' pages are."""
    return {
        "apiVersion": "browserpool.dev/v1alpha1",
        "kind": "BrowserPool",
        "metadata": {"name": "bench"},
        "spec": {"replicas": replicas, "egress": {"allow": ["127.0.0.0/8"]}, **spec},
    }


class Stack:
    """A running installation. ``url`` and ``token`` are the client's; ``data`` its directory."""

    def __init__(self, *, url, data):
        self.url = url
        self.data = data
        self.token = (data / "token").read_text().strip()
        self.dsn = f"host={data / 'postgres'} user=postgres dbname=postgres"
        self.headers = {"Authorization": f"Bearer {self.token}"}


@contextlib.asynccontextmanager
async def up(*, replicas=1, **spec):
    """``browserpool up`` with one pool of ``replicas`` browsers and this ``spec``; stopped, and waited for, at the end."""
    with tempfile.TemporaryDirectory(prefix="browserpool-bench-") as directory:
        home = pathlib.Path(directory)
        home.chmod(0o755)  # as root, Postgres runs as a user of its own, which must get in
        (home / "pool.yaml").write_text(yaml.safe_dump(manifest(replicas=replicas, **spec)))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "browserpool", "up", "-f", str(home / "pool.yaml"), "--port", "0", "--data", str(home / "data"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_DEADLINE):
                url = await _ready(process)
            drain = asyncio.get_running_loop().create_task(process.stdout.read())
            yield Stack(url=url, data=home / "data")
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), STOP_DEADLINE)
        await drain


async def _ready(process):
    said = []
    while line := (await process.stdout.readline()).decode():
        said.append(line)
        if line.startswith("ready: "):
            return line.removeprefix("ready: ").strip()
    raise RuntimeError("`up` ended before it was ready:\n" + "".join(said))


def client(**options):
    """An HTTP client without limits that would blur a measurement."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), **options)
