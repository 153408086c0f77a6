"""The controller as a process of this machine, with a service account of its own: it may do what ``rights`` lists, and no more."""

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
from prometheus_client import parser

from browserpool.controller import rights
from browserpool.local import routing
from cluster import access, shell
from support import waiting

ACCOUNT = "controller-under-test"
_LEASE = "browserpool-controller"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One that runs. Its figures are read from its own metrics and from /proc."""

    process: asyncio.subprocess.Process
    port: int

    async def metrics(self, name: str) -> list[tuple[dict[str, str], float]]:
        """The samples of that name: labels and value."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text = await answer.text()
        return [
            (sample.labels, sample.value)
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        ]

    async def leads(self) -> bool:
        """Whether it holds the Lease. Raises RuntimeError if it has ended."""
        if self.process.returncode is not None:
            raise RuntimeError(f"the controller ended with exit code {self.process.returncode}; see its log")
        with contextlib.suppress(aiohttp.ClientError):
            return any(value == 1 for _, value in await self.metrics("browserpool_leading"))
        return False

    async def stands(self) -> bool:
        """Whether it leads or stands by to."""
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}/readyz") as answer,
            ):
                return answer.status == 200
        return False

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()

    async def rounds(self, outcome: str) -> int:
        """How many rounds have ended so."""
        found = await self.metrics("browserpool_reconcile_seconds_count")
        return sum(int(value) for labels, value in found if labels["outcome"] == outcome)

    async def requests(self) -> dict[tuple[str, str, str], int]:
        """How many requests to the API server so far, by verb, resource and status."""
        found = await self.metrics("browserpool_kubernetes_requests_total")
        return {(labels["verb"], labels["resource"], labels["code"]): int(value) for labels, value in found}

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mib(self, *, peak: bool = False) -> float:
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("VmHWM:" if peak else "VmRSS:"))
        return int(line.split()[1]) / 1024


class Audit:
    """What the API server's audit log says from now on of the account's requests: also of those that no metric of ours counts.

    Somebody else's cluster shows nobody its log: then there is nothing to read, and ``requests`` answers None.
    """

    def __init__(self, cluster: access.Cluster, *, namespace: str, account: str = ACCOUNT) -> None:
        self._user = f"system:serviceaccount:{namespace}:{account}"
        self._path = cluster.kubeconfig.parent.parent / "audit.log"
        self._begin = self._path.stat().st_size if self._path.exists() else 0

    def requests(self) -> collections.Counter[tuple[str, str, int]] | None:
        """How many, by verb, resource (with its subresource) and status."""
        if not self._path.exists():
            return None
        with self._path.open() as log:
            log.seek(self._begin)
            entries = [json.loads(line) for line in log if self._user in line and line.endswith("}\n")]
        return collections.Counter(
            (entry["verb"], _resource(entry["objectRef"]), entry["responseStatus"]["code"])
            for entry in entries
            if entry["user"]["username"] == self._user and "objectRef" in entry and entry["stage"] == "ResponseComplete"
        )


def _resource(named: dict[str, str]) -> str:
    return "/".join(filter(None, (named["resource"], named.get("subresource"))))


def account(cluster: access.Cluster, *, namespace: str, folder: pathlib.Path) -> pathlib.Path:
    """Make the service account with the controller's rights; answers a kubeconfig that is its own."""
    named = {"name": ACCOUNT, "namespace": namespace}
    wide = {"name": f"{ACCOUNT}-{namespace}"}
    subjects = [{"kind": "ServiceAccount", **named}]
    api, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    names = {rights.LEASE: _LEASE, rights.DEPLOYMENT: "none"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
        {"apiVersion": api, "kind": "Role", "metadata": named, "rules": rights.rules(rights.NAMESPACE, names=names)},
        {
            "apiVersion": api,
            "kind": "RoleBinding",
            "metadata": named,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": subjects,
        },
        {
            "apiVersion": api,
            "kind": "ClusterRole",
            "metadata": wide,
            "rules": rights.rules(rights.CLUSTER, names=names),
        },
        {
            "apiVersion": api,
            "kind": "ClusterRoleBinding",
            "metadata": wide,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", **wide},
            "subjects": subjects,
        },
        namespace=namespace,
    )
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    for question in (("list", "nodes"), ("list", "pods", "--namespace", namespace)):
        # The API server learns of roles by a watch of its own.
        shell.until(
            lambda asked=question: cluster.kubectl("auth", "can-i", *asked, "--as", user), what="rights", deadline=30
        )
    token = cluster.kubectl("create", "token", ACCOUNT, "--namespace", namespace, "--duration", "2h").strip()
    config: dict[str, Any] = json.loads(
        cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output", "json")
    )
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "controller.kubeconfig"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def cleared(cluster: access.Cluster, *, namespace: str) -> Iterator[None]:
    """What ``account`` makes outside of the namespace is deleted after the block."""
    try:
        yield
    finally:
        for kind in ("clusterrole", "clusterrolebinding"):
            cluster.delete(kind, f"{ACCOUNT}-{namespace}")


@contextlib.asynccontextmanager
async def running(
    *,
    dsn: str,
    kubeconfig: pathlib.Path,
    namespace: str,
    log: pathlib.Path,
    identity: str = "replica-1",
    leads: bool = True,
) -> AsyncIterator[Replica]:
    """A replica that leads (or, without ``leads``, stands by), until the block ends; it is then stopped in order."""
    port = routing.free_port("127.0.0.1", 0)
    settings = {
        "DSN": dsn,
        "SIGNING_KEY": "a signing key for tests only",
        "NAMESPACE": namespace,
        "IDENTITY": identity,
        "KUBECONFIG": str(kubeconfig),
        "ROUTER_URL": "http://router.test:8080",
        "BROWSER_IMAGE": "browser.test/simulated:1",
        "LEASE_NAME": _LEASE,
        "HOST": "127.0.0.1",
        "OPS_PORT": str(port),
        "LOG_FORMAT": "json",
    }
    environment = os.environ | {f"BROWSERPOOL_{name}": value for name, value in settings.items()}
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "browserpool.controller", env=environment, stdout=said, stderr=said
        )
        replica = Replica(process=process, port=port)
        try:
            await waiting.until(replica.leads if leads else replica.stands, deadline=40, every=0.1)
            yield replica
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 30)
