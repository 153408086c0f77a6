"""A thin client of the API server: objects as plain JSON, errors as those of ``model``, every request counted and bounded in time.

Configuration and authentication are the official client's (service account, kubeconfig, exec plugins, OIDC). Its generated models are
not used: to turn a thousand pods into them and back takes seconds.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Self

import aiohttp
import orjson
from kubernetes.aio import client as official
from kubernetes.aio import config as official_config

from browserpool import metrics
from browserpool.model import errors

Object = dict[str, Any]
"""Any object of the API, as its JSON."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What the API server calls a kind of object, in the plural."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None, *parts: str) -> str:
        """The address of all of them, or, by ``parts``, of one, or of its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if self.namespaced else ""
        return "/".join((f"{root}{within}/{self.plural}", *parts))


PODS: Final = Resource(group="", version="v1", plural="pods")
NODES: Final = Resource(group="", version="v1", plural="nodes", namespaced=False)
SECRETS: Final = Resource(group="", version="v1", plural="secrets")
EVENTS: Final = Resource(group="", version="v1", plural="events")
LEASES: Final = Resource(group="coordination.k8s.io", version="v1", plural="leases")
NETWORK_POLICIES: Final = Resource(group="networking.k8s.io", version="v1", plural="networkpolicies")
DEPLOYMENTS: Final = Resource(group="apps", version="v1", plural="deployments")
POOLS: Final = Resource(group="browserpool.dev", version="v1alpha1", plural="browserpools")
SESSIONS: Final = Resource(group="browserpool.dev", version="v1alpha1", plural="browsersessions")

_PAGE: Final = 500
"""Objects in one answer to a list: what kubectl asks for."""
_MERGE_PATCH: Final = "application/merge-patch+json"
_SILENCE: Final = 120.0
"""Seconds: a watch sends a bookmark about every minute. One that says nothing for longer is a connection that broke unnoticed."""
_BUSY_RETRY: Final = 1
_REFUSED: Final[Mapping[int, type[errors.BrowserpoolError]]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.WatchExpired,
    422: errors.InvalidRequest,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All objects at the moment ``version``, from which a watch may go on."""

    items: list[Object]
    version: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a watch: ``kind`` is ADDED, MODIFIED, DELETED or BOOKMARK (then ``object`` has nothing but its version).

    The first is always OPENED, which is not the API server's word: it has taken the request.
    """

    kind: str
    object: Object


class Client:
    """Speaks for one namespace; cluster-wide resources have none. ``timeout`` in seconds, for each request."""

    def __init__(self, configuration: official.Configuration, *, namespace: str, timeout: float = 10.0) -> None:
        self._api = official.ApiClient(configuration)
        self._timeout = timeout
        self.namespace = namespace

    # ------------------------------------------------------------ objects
    async def get(self, resource: Resource, name: str) -> Object:
        """One object.

        Raises:
            errors.NotFound: there is none of that name.
            errors.ClusterUnavailable: no answer, here as everywhere below.
        """
        return await self._call("get", resource, resource.path(self.namespace, name))

    async def create(self, resource: Resource, body: Object) -> Object:
        """Make the object; answers it as it then is.

        Raises:
            errors.Conflict: one of that name is there.
            errors.InvalidRequest: the API server finds it invalid, or refuses it for another fault of its own.
            errors.Forbidden: a right, a quota or an admission stands against it.
        """
        return await self._call("create", resource, resource.path(self.namespace), method="POST", body=body)

    async def replace(self, resource: Resource, name: str, body: Object) -> Object:
        """Put ``body`` in the object's place; if it has a resourceVersion, only over that one.

        Raises:
            errors.Conflict: it has changed meanwhile.
            errors.NotFound: it is gone.
        """
        return await self._call("update", resource, resource.path(self.namespace, name), method="PUT", body=body)

    async def delete(
        self, resource: Resource, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> Object | None:
        """Begin to delete; answers the object if it is still there, terminating; None: it was not there, or is gone.

        ``uid``: only that one, not a later one of the same name. ``grace`` in seconds; 0 waits for nobody.
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            answer = await self._call(
                "delete", resource, resource.path(self.namespace, name), method="DELETE", body=body
            )
        except (errors.NotFound, errors.Conflict):
            return None
        return answer if answer.get("metadata", {}).get("deletionTimestamp") else None

    async def patch(self, resource: Resource, name: str, body: Object, *, subresource: str = "") -> Object:
        """Merge ``body`` into the object, or into its ``subresource`` (``status``)."""
        parts = (name, subresource) if subresource else (name,)
        path = resource.path(self.namespace, *parts)
        return await self._call("patch", resource, path, method="PATCH", body=body, content_type=_MERGE_PATCH)

    async def list(self, resource: Resource, *, selector: str = "") -> Listing:
        """All objects that the label ``selector`` chooses, page by page."""
        items: list[Object] = []
        query = [("limit", str(_PAGE)), *([("labelSelector", selector)] if selector else [])]
        following = ""
        while True:
            more = [("continue", following)] if following else []
            page = await self._call("list", resource, resource.path(self.namespace), query=[*query, *more])
            items += page.get("items") or []
            following = page.get("metadata", {}).get("continue") or ""
            if not following:
                return Listing(items=items, version=str(page.get("metadata", {}).get("resourceVersion", "")))

    async def watch(self, resource: Resource, *, selector: str = "", since: str, lasts: float) -> AsyncIterator[Change]:
        """What changes after the version ``since``, for about ``lasts`` seconds.

        Raises:
            errors.WatchExpired: ``since`` is too old.
        """
        query = [("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(int(lasts)))]
        query += [("resourceVersion", since)] if since else []
        query += [("labelSelector", selector)] if selector else []
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=min(_SILENCE, lasts + self._timeout))
        path = resource.path(self.namespace)
        with _mapped():
            async with self._answer("watch", resource, path, query=query, timeout=timeout) as answer:
                yield Change(kind="OPENED", object={"metadata": {}})
                async for line in answer.content:
                    if line.strip():
                        yield _change(orjson.loads(line))

    # ------------------------------------------------------------ requests
    async def _call(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        method: str = "GET",
        query: Sequence[tuple[str, str]] = (),
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        with _mapped():
            async with self._answer(
                verb, resource, path, method=method, query=query, body=body, content_type=content_type, timeout=timeout
            ) as answer:
                found: Object = orjson.loads(await answer.read())
                return found

    @contextlib.asynccontextmanager
    async def _answer(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own, of which a total is only a part
        method: str = "GET",
        query: Sequence[tuple[str, str]] = (),
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        code = "none"
        try:
            # A deadline of its own around the official client, which may first refresh a token.
            async with asyncio.timeout(timeout.total if timeout.total is not None else self._timeout):
                answer: aiohttp.ClientResponse = await self._api.call_api(
                    path,
                    method,
                    query_params=list(query),
                    header_params={"Accept": "application/json", "Content-Type": content_type},
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _request_timeout=timeout,
                )
            code = str(answer.status)
            async with answer:
                if answer.status >= 400:
                    raise _refusal(answer.status, await answer.read(), answer.headers.get("Retry-After"))
                yield answer
        finally:
            metrics.KUBE_REQUESTS.labels(verb, resource.plural, code).inc()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def configured(kubeconfig: str) -> official.Configuration:
    """How to reach the API server: by ``kubeconfig``, or by the pod's own service account, or, where neither is, as the user would.

    Raises:
        errors.ClusterUnavailable: there is no usable configuration.
    """
    configuration = official.Configuration()
    try:
        if kubeconfig or not await asyncio.to_thread(
            pathlib.Path(official_config.incluster_config.SERVICE_TOKEN_FILENAME).exists
        ):
            await official_config.load_kube_config(
                config_file=kubeconfig or None, client_configuration=configuration, persist_config=False
            )
        else:
            official_config.load_incluster_config(client_configuration=configuration)
    except (official_config.ConfigException, OSError) as error:
        raise errors.ClusterUnavailable(
            f"There is no way to reach a cluster from here: {error}. Run in a pod, or name a kubeconfig."
        ) from error
    return configuration


@contextlib.contextmanager
def _mapped() -> Any:
    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError, official.ApiException) as error:
        raise errors.ClusterUnavailable(
            f"The API server gives no answer ({type(error).__name__}: {error}); what it has is left as it is.",
            retry_after=_BUSY_RETRY,
        ) from error
    except orjson.JSONDecodeError as error:
        raise errors.ClusterUnavailable("The API server's answer broke off, or is no JSON.") from error


def _change(line: Object) -> Change:
    kind, found = line["type"], line["object"]
    if kind == "ERROR":
        raise _refusal(int(found.get("code") or 500), orjson.dumps(found), None)
    return Change(kind=kind, object=found)


def _refusal(status: int, body: bytes, retry_after: str | None) -> errors.BrowserpoolError:
    try:
        said = str(orjson.loads(body).get("message") or "")
    except (orjson.JSONDecodeError, AttributeError):
        said = body[:200].decode(errors="replace")
    message = f"The API server refused ({status}): {said or 'it does not say why'}"
    if (kind := _REFUSED.get(status)) is not None:
        return kind(message)
    seconds = int(retry_after) if retry_after is not None and retry_after.isdecimal() else _BUSY_RETRY
    return errors.ClusterUnavailable(message, retry_after=seconds)
