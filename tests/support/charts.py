"""The chart rendered and linted by Helm's own library, and manifests checked by Kubernetes' own schemas. No cluster is asked."""

import base64
import contextlib
import functools
import importlib.resources
import json
import pathlib
import ssl

import helm_python
import jsonschema
import referencing
import yaml

CHART = pathlib.Path(__file__).parents[2] / "charts" / "browserpool"
NAMESPACE = "browsers"
OLDEST, NEWEST = "1.30", "1.37"
"""The releases of Kubernetes whose schemas manifests are held to: the chart's own bound, and the newest that there are schemas of."""


def rendered(values=None, *, upgrade=False):
    """The objects of a release ``browserpool`` in the namespace ``browsers``, as Helm would send them; hooks included."""
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(
            values or {}, name="browserpool", namespace=NAMESPACE, is_install=not upgrade, is_upgrade=upgrade
        )
    # libyaml's loader, since the definitions are long and Python's own takes a second for them.
    return [
        document
        for name, text in texts.items()
        if name.endswith(".yaml")
        for document in yaml.load_all(text, Loader=yaml.CSafeLoader)
        if document is not None
    ]


def notes(values):
    """What `helm install` prints."""
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(values, name="browserpool", namespace=NAMESPACE, is_install=True)
    return next(text for name, text in texts.items() if name.endswith("NOTES.txt"))


def lint(values):
    """Helm's complaints, as sentences."""
    report = helm_python.lint(CHART, values, strict=True, namespace=NAMESPACE)
    return [one["error"] for one in report["messages"] if one["severity"] > 1] + report["errors"]


def one(documents, kind, name):
    """The object of this kind and name."""
    found = [document for document in documents if (document["kind"], document["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def pod_templates(documents):
    """(kind/name, pod spec, labels) of all that makes pods."""
    for document in documents:
        label = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield label, document["spec"], document["metadata"]["labels"]
        elif "template" in document.get("spec", {}):
            template = document["spec"]["template"]
            yield label, template["spec"], template["metadata"]["labels"]


# ---------------------------------------------------------------- Kubernetes' schemas
def _schemas(kubernetes):
    root = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"
    return root / f"v{kubernetes}.0-local-strict"


@functools.cache
def _registry(kubernetes):
    definitions = json.loads((_schemas(kubernetes) / "_definitions.json").read_text())
    resource = referencing.Resource.from_contents(definitions)
    # Crawled once; else each reference would crawl all of it.
    return referencing.Registry().with_resource("_definitions.json", resource).crawl()


@functools.cache
def _validator(kind, api_version, kubernetes):
    group, _, version = api_version.rpartition("/")
    suffix = f"{group.partition('.')[0]}-{version}" if group else version
    schema = json.loads((_schemas(kubernetes) / f"{kind.lower()}-{suffix}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=_registry(kubernetes))


def complaints(document, *, kubernetes=NEWEST):
    """What the schema of that release of Kubernetes (no field but the known) has against it, as sentences."""
    return _complaints(json.dumps(document, sort_keys=True), kubernetes)


@functools.cache
def _complaints(text, kubernetes):
    # By its text, since most objects are the same in most sets of values.
    document = json.loads(text)
    validator = _validator(document["kind"], document["apiVersion"], kubernetes)
    name = f"{document['kind']}/{document['metadata']['name']}"
    return [f"{name} {error.json_path}: {error.message}" for error in validator.iter_errors(document)]


# ---------------------------------------------------------------- certificates
def decoded(text):
    """Base64, as Secrets have it."""
    return base64.b64decode(text, validate=True)


def handshake(client, server, *, name):
    """TLS between two contexts, in memory; raises what the client raises who wants to speak to ``name``."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    assert sides[0].version() is not None
