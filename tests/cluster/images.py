"""Images as archives, without a registry: one static program each, and a Debian for Dockerfiles to start from."""

import hashlib
import io
import json
import pathlib
import platform
import tarfile
import tempfile

from cluster import binaries, shell

PAUSE = "browserpool.local/pause:1"
COREDNS = "browserpool.local/coredns:1"
DEBIAN = "docker.io/library/debian:bookworm-slim"

Image = dict[str, object]


def program(name: str, *, tag: str, tools: pathlib.Path) -> pathlib.Path:
    """The archive of an image that holds nothing but the static program ``name``; kept beside the program."""
    archive = tools / f"{name}.tar"
    if not archive.exists():
        _archive(archive, tag=tag, layer=_layer(tools / name), config={"Entrypoint": [f"/{name}"]})
    return archive


def debian() -> pathlib.Path:
    """A minimal Debian under the name that Dockerfiles give it, made as the images' own base is; kept in the cache."""
    archive = binaries.cache() / "debian-bookworm-slim.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        shell.say("making a Debian image by debootstrap, once")
        with tempfile.TemporaryDirectory(prefix="browserpool-debian-") as folder:
            layer = pathlib.Path(folder) / "layer.tar"
            shell.run(binaries.ROOT / "images" / "base.sh", layer, timeout=600)
            _archive(archive, tag=DEBIAN, layer=layer.read_bytes(), config={"Cmd": ["bash"]})
    return archive


def _layer(executable: pathlib.Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for folder in ("etc", "tmp"):
            tar.addfile(_entry(folder, mode=0o1777 if folder == "tmp" else 0o755, kind=tarfile.DIRTYPE))
        content = executable.read_bytes()
        tar.addfile(_entry(executable.name, mode=0o755, size=len(content)), io.BytesIO(content))
    return data.getvalue()


def _entry(name: str, *, mode: int, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size, entry.type = mode, size, kind
    return entry


def _archive(path: pathlib.Path, *, tag: str, layer: bytes, config: Image) -> None:
    """Write what ``docker save`` would write for an image of one layer."""
    digest = hashlib.sha256(layer).hexdigest()
    described = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    text = json.dumps(described).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": [f"{digest}.tar"]}]).encode()
    partial = path.with_suffix(".partial")
    with tarfile.open(partial, mode="w") as tar:
        for member, content in ((f"{digest}.tar", layer), (name, text), ("manifest.json", manifest)):
            tar.addfile(_entry(member, mode=0o644, size=len(content)), io.BytesIO(content))
    partial.rename(path)
