"""An API server in this process: kmock's emulator, with what the controller relies on and kmock leaves out.

Versions that rise and watches that go on from one, uids, optimistic concurrency, label selectors, preconditions of a deletion, pods that
terminate before they are gone. What it does not have (schemas, defaulting, admission, a scheduler, rights) is tested on a real cluster.
"""

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import kmock
from aiohttp import web
from kmock._internal import k8s
from kubernetes.aio import client as official

from browserpool.controller import kube

NAMESPACE = "pools"
ALL = (
    kube.PODS, kube.NODES, kube.SECRETS, kube.EVENTS, kube.LEASES, kube.DEPLOYMENTS, kube.NETWORK_POLICIES, kube.POOLS, kube.SESSIONS,
)  # fmt: skip
OTHERS = (
    kube.Resource(group="", version="v1", plural="namespaces", namespaced=False),
    kube.Resource(group="apiextensions.k8s.io", version="v1", plural="customresourcedefinitions", namespaced=False),
)
_VERBS = {"create": "create", "delete": "delete", "fetch": "get", "list": "list", "watch": "watch"}
_GRACE = "2026-01-01T00:00:00Z"


def reference(resource: kube.Resource) -> kmock.resource:
    """kmock's name for it."""
    return kmock.resource(resource.group, resource.version, resource.plural)


class Refused(k8s.KubernetesError):
    """An answer other than success."""


Fault = Callable[[str, str, str], int | None]
"""Given verb, resource and name of a request, the status to answer with; None: as usual."""


class ApiServer(kmock.KubernetesEmulator):
    """Entered by ``running``. ``served`` has verb, resource, name and what became of each request but kopf's discovery, in order."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.served: list[tuple[str, str, str]] = []
        self.fault: Fault = lambda *_: None
        self.lingers = False
        """Whether deleted pods stay, terminating, until ``finish``."""
        self.oldest = 0
        """Watches from before this version are answered 410."""
        self._version = 100
        self._happened: list[tuple[int, str, kmock.resource, dict[str, Any], dict[str, Any] | None]] = []
        """Version, kind and resource of each event, and its object, after it and before."""
        self._before: dict[tuple[Any, str | None, str], dict[str, Any]] = {}
        self._more = asyncio.Event()
        for resource in (*ALL, *OTHERS):
            self.resources[reference(resource)] = kmock.ResourceInfo(
                namespaced=resource.namespaced,
                kind=resource.plural.capitalize(),
                verbs={"get", "list", "watch", "create", "patch", "update", "delete"},
            )

    # ------------------------------------------------------------ the test's own hand
    def raw(self, resource: kube.Resource) -> dict[str, dict[str, Any]]:
        """All objects of that kind, by name."""
        return {
            name: dict(found.raw)
            for (kind, _, name), found in self.objects.items()
            if kind == reference(resource) and not found.deleted
        }

    def put(self, resource: kube.Resource, body: dict[str, Any]) -> dict[str, Any]:
        """Make the object, as somebody else would."""
        body = copy.deepcopy(body)
        self._stamp_new(body, resource.namespaced)
        namespace = NAMESPACE if resource.namespaced else None
        self.objects[reference(resource), namespace, body["metadata"]["name"]] = body
        self._happen("ADDED", reference(resource), body)
        return body

    def change(self, resource: kube.Resource, name: str, patch: dict[str, Any]) -> None:
        """Merge ``patch`` into the object; a new spec is a new generation."""
        found = self.objects[reference(resource), NAMESPACE if resource.namespaced else None, name]
        metadata = {**patch.get("metadata", {}), "resourceVersion": self._next()}
        if "spec" in patch:
            metadata["generation"] = found.raw["metadata"].get("generation", 1) + 1
        found.patch({**patch, "metadata": metadata})
        self._happen("MODIFIED", reference(resource), found.raw)

    def finish(self, resource: kube.Resource, name: str) -> None:
        """The object is gone, as when a kubelet has ended the pod."""
        found = self.objects[reference(resource), NAMESPACE if resource.namespaced else None, name]
        last = copy.deepcopy(dict(found.raw))
        last["metadata"]["resourceVersion"] = self._next()
        found.delete()
        self._happen("DELETED", reference(resource), last)

    def forget_history(self) -> None:
        """Watches cannot go on from any version up to now."""
        self.oldest = int(self._next())
        self._more.set()

    def count(self, verb: str, resource: kube.Resource) -> int:
        """How many such requests were made."""
        return sum(one[:2] == (verb, resource.plural) for one in self.served)

    # ------------------------------------------------------------ requests
    async def _handle(self, request: kmock.Request) -> web.StreamResponse:
        verb = _verb(request)
        if request.resource is None or request.resource.plural is None or verb is None:
            return await super()._handle(request)
        data = request.data if isinstance(request.data, dict) else {}
        name = request.name or data.get("metadata", {}).get("name") or ""
        plural = str(request.resource.plural) + (f"/{request.subresource}" if request.subresource else "")
        self.served.append((verb, plural, name))
        if (status := self.fault(verb, plural, name)) is not None:
            raise Refused(status=status, message=f"{verb} {plural} is made to fail", reason="Made to fail")
        match verb:
            case "create":
                return await self._created(request, data)
            case "update" | "patch":
                return await self._written(request, data)
            case "delete":
                return await self._deleted(request, data)
            case _:
                return await super()._handle(request)

    async def _created(self, request: kmock.Request, data: dict[str, Any]) -> web.StreamResponse:
        self._stamp_new(data, request.namespace is not None)
        answer = await super()._handle(request)
        self._happen("ADDED", request.resource, data)
        return answer

    async def _written(self, request: kmock.Request, data: dict[str, Any]) -> web.StreamResponse:
        found = self._found(request)
        metadata = data.setdefault("metadata", {})
        expected = metadata.get("resourceVersion")
        if expected and expected != found.raw["metadata"]["resourceVersion"]:
            raise Refused(status=409, reason="Conflict", message="the object has been modified")
        metadata["resourceVersion"] = self._next()
        if "spec" in data and request.subresource is None:
            metadata["generation"] = found.raw["metadata"].get("generation", 1) + 1
        found.patch(data)
        self._happen("MODIFIED", request.resource, found.raw)
        return web.json_response(_plain(found.raw))

    async def _deleted(self, request: kmock.Request, data: dict[str, Any]) -> web.StreamResponse:
        found = self._found(request)
        wanted = data.get("preconditions", {}).get("uid")
        if wanted and wanted != found.raw["metadata"]["uid"]:
            raise Refused(status=409, reason="Conflict", message="the uid in the precondition is not the object's")
        terminating = {"metadata": {"deletionTimestamp": _GRACE, "resourceVersion": self._next()}}
        lingers = self.lingers and request.resource == reference(kube.PODS) and data.get("gracePeriodSeconds") != 0
        if lingers or found.raw["metadata"].get("finalizers"):
            found.patch(terminating)
            self._happen("MODIFIED", request.resource, found.raw)
            return web.json_response(_plain(found.raw))
        last = copy.deepcopy(dict(found.raw))
        last["metadata"]["resourceVersion"] = self._next()
        found.delete()
        self._happen("DELETED", request.resource, last)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})

    def _found(self, request: kmock.Request) -> Any:
        key = (request.resource, request.namespace, request.name)
        if key not in self.objects or self.objects[key].deleted:
            raise Refused(status=404, reason="NotFound", message=f"{request.name} is not there")
        return self.objects[key]

    # ------------------------------------------------------------ lists and watches
    async def _serve_list(self, request: kmock.Request) -> Any:
        items = [
            _plain(found.raw)
            for (kind, namespace, _), found in self.objects.items()
            if kind == request.resource and not found.deleted and request.namespace in (None, namespace)
        ]
        chosen = [item for item in items if _chosen(request, item)]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": chosen}

    async def _serve_watch(self, request: kmock.Request) -> AsyncIterator[Any]:
        yield b""
        since = int(request.params.get("resourceVersion") or 0)
        lasts = float(request.params.get("timeoutSeconds") or 3600)
        position = next((n for n, one in enumerate(self._happened) if one[0] > since), len(self._happened))
        ends = asyncio.get_running_loop().time() + lasts
        while True:
            if since < self.oldest:
                status = {"kind": "Status", "code": 410, "message": "too old resource version", "reason": "Expired"}
                yield {"type": "ERROR", "object": status}
                return
            while position < len(self._happened):
                version, kind, resource, found, before = self._happened[position]
                position, since = position + 1, version
                if resource == request.resource and (seen := _seen(request, kind, found, before)) is not None:
                    yield {"type": seen, "object": found}
            self._more.clear()
            if since < self.oldest or position < len(self._happened):
                continue
            try:
                async with asyncio.timeout_at(ends):
                    await self._more.wait()
            except TimeoutError:
                return

    # ------------------------------------------------------------ versions
    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _stamp_new(self, body: dict[str, Any], namespaced: bool) -> None:
        version = self._next()
        metadata = body["metadata"]
        metadata |= {"uid": f"uid-{version}", "resourceVersion": version, "generation": 1}
        metadata.setdefault("creationTimestamp", f"2026-01-01T00:{int(version) // 60 % 60:02}:{int(version) % 60:02}Z")
        if namespaced:
            metadata["namespace"] = NAMESPACE

    def _happen(self, kind: str, resource: Any, found: Any) -> None:
        plain = _plain(found)
        key = (resource, plain["metadata"].get("namespace"), plain["metadata"]["name"])
        self._happened.append((int(plain["metadata"]["resourceVersion"]), kind, resource, plain, self._before.get(key)))
        self._before[key] = plain
        self._more.set()


def _verb(request: kmock.Request) -> str | None:
    if request.method.name in ("PUT", "PATCH"):
        return {"PUT": "update", "PATCH": "patch"}[request.method.name]
    return None if request.action is None else _VERBS[request.action.name.lower()]


def _plain(found: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(found), default=dict))
    return plain


def _seen(request: kmock.Request, kind: str, found: dict[str, Any], before: dict[str, Any] | None) -> str | None:
    """What a watch is told; one with a selector, whose labels come or go, is added or deleted to it."""
    chosen, was_chosen = _chosen(request, found), before is not None and _chosen(request, before)
    if kind == "MODIFIED" and chosen != was_chosen:
        return "ADDED" if chosen else "DELETED"
    return kind if chosen else None


def _chosen(request: kmock.Request, found: dict[str, Any]) -> bool:
    labels = found["metadata"].get("labels") or {}
    wanted = [part.split("=", 1) for part in request.params.get("labelSelector", "").split(",") if part]
    within = request.namespace in (None, found["metadata"].get("namespace"))
    return within and all(labels.get(key) == value for key, value in wanted)


class Site:
    """Where the server is reached; ``stop`` and ``start`` make an outage, with all connections broken."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._runner: web.ServerRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen, on the same port as before."""
        served = web.Server(self._server, handler_cancellation=True)
        self._runner = web.ServerRunner(served, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections, and break those there are."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def configuration(self) -> official.Configuration:
        """For the official client."""
        configuration = official.Configuration()
        configuration.host = f"http://127.0.0.1:{self.port}"
        return configuration


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[ApiServer, Site]]:
    """An API server without objects."""
    async with ApiServer() as server:
        site = Site(server)
        await site.start()
        try:
            yield server, site
        finally:
            await site.stop()


@contextlib.contextmanager
def failing(server: ApiServer, *, verb: str, resource: str, status: int) -> Iterator[None]:
    """Such requests are refused while the block runs."""
    before, server.fault = server.fault, lambda *asked: status if asked[:2] == (verb, resource) else None
    try:
        yield
    finally:
        server.fault = before
