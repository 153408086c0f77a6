"""The CRDs: the files hold what the models say, and their schemas are structural. The API server judges them in e2e_cluster."""

import datetime
import json
import pathlib

import pytest
import yaml

from browserpool.controller import crds
from browserpool.controller.desired import seen, session_status, status
from browserpool.model import claims, session_object, sessions
from browserpool.model.names import BrowserId, Fence, HolderId, NodeName, PoolName, RegionName, SessionId, ZoneName
from browserpool.model.pool import BrowserPool, PoolSpec
from browserpool.model.regions import RegionStatus

ROOT = pathlib.Path(__file__).parents[2]
DIRECTORIES = [ROOT / "crds", ROOT / "charts" / "browserpool" / "files" / "crds"]
BOTH = [crds.browserpools(), crds.browsersessions()]
TREE = "x-kubernetes-preserve-unknown-fields"
EITHER = "x-kubernetes-int-or-string"


def schema(crd):
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node, path=""):
    """Each schema inside ``node``, by its path."""
    yield path, node
    for name, part in node.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from nodes(node["additionalProperties"], f"{path}{{}}")


def at(crd, path):
    return dict(nodes(schema(crd)))[path]


ALL = [(path, node) for crd in BOTH for path, node in nodes(schema(crd))]


def completed(value, node):
    """``value`` as the API server stores it: with the schema's defaults."""
    if isinstance(value, list):
        return [completed(one, node["items"]) for one in value]
    if not isinstance(value, dict) or "properties" not in node:
        return value
    parts = node["properties"]
    filled = {
        name: json.loads(json.dumps(part["default"])) for name, part in parts.items() if "default" in part
    } | value
    return {name: completed(one, parts.get(name, {})) for name, one in filled.items()}


# ---------------------------------------------------------------- the files
@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_are_what_the_models_say(directory):
    committed = {path.name: path.read_text() for path in directory.glob("*.yaml")}
    assert committed == crds.files(), "run `make crds`"


def test_the_files_are_read_back_as_what_was_meant():
    assert [yaml.safe_load(text) for text in crds.files().values()] == BOTH


def test_writing_makes_the_directories(tmp_path):
    crds.main([str(tmp_path / "a" / "b"), str(tmp_path / "c")])
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == crds.files().keys()
    assert (tmp_path / "c" / "browserpool.dev_browserpools.yaml").read_text().startswith("# Made from")


# ---------------------------------------------------------------- structural
def test_each_schema_is_structural():
    for path, node in ALL:
        assert ("type" in node) != (EITHER in node), path
        assert node.get("type") in {None, "object", "array", "string", "integer", "number", "boolean"}, path
        assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "const", "title", "nullable"} & node.keys(), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert (node.get("type") == "array") == ("items" in node), path


def test_nothing_is_an_object_of_which_all_would_be_pruned():
    open_ones = [
        p for p, n in ALL if n.get("type") == "object" and not {"properties", "additionalProperties", TREE} & n.keys()
    ]
    assert open_ones == [".metadata", ".metadata"]


def test_each_field_is_described():
    for path, node in ALL:
        if path not in {".apiVersion", ".kind", ".metadata"} and not path.endswith(("{}", "[]")):
            assert node["description"].endswith("."), path
            assert "`" not in node["description"], path


def test_what_rules_look_at_is_bounded():
    """The API server estimates a rule's cost from the bounds, and refuses a rule that could be too costly."""
    bounds = {"array": "maxItems", "string": "maxLength", "integer": "maximum"}
    for path, node in ALL:
        if path.startswith(".spec") and not path.startswith(".spec.template"):
            if (kind := node.get("type")) in bounds and "enum" not in node:
                assert bounds[kind] in node, path
            assert ("additionalProperties" in node) == ("maxProperties" in node), path


@pytest.mark.parametrize("crd", BOTH, ids=lambda crd: crd["spec"]["names"]["kind"])
def test_each_rule_says_what_is_wrong(crd):
    rules = [rule for _, node in nodes(schema(crd)) for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    assert all(rule["message"] and "\n" not in rule["rule"] for rule in rules)


def test_the_whole_fits_an_apply():
    """kubectl apply keeps the object in an annotation, of at most 256 KiB."""
    assert all(len(json.dumps(crd)) < 200_000 for crd in BOTH)


# ---------------------------------------------------------------- equal to the models
def aliases(model):
    return {field.alias for field in model.model_fields.values()}


def test_the_fields_are_the_models():
    assert at(BOTH[0], ".spec")["properties"].keys() == aliases(PoolSpec)
    assert at(BOTH[1], ".spec")["properties"].keys() == aliases(session_object.SessionSpec)
    assert at(BOTH[1], ".spec")["required"] == ["poolRef"]


@pytest.mark.parametrize(
    "spec", [None, {}, {"sessions": {}}, {"sessions": {"recycle": "Delete"}, "updateStrategy": {"maxSurge": 2}}]
)
def test_the_defaults_are_the_models(spec):
    stored = completed({} if spec is None else {"spec": spec}, schema(BOTH[0]))["spec"]
    assert PoolSpec.model_validate(stored) == PoolSpec.model_validate(spec or {})
    assert stored["replicas"] == 1
    assert stored["regions"] == [{"name": "local"}]
    assert stored["sessions"]["keepAlive"] == "1m"
    assert stored["updateStrategy"]["maxUnavailable"] == "25%"


def test_a_default_is_written_for_each_field_that_has_one():
    whole = PoolSpec().model_dump(mode="json", by_alias=True, exclude_none=True)
    stored = completed({}, schema(BOTH[0]))["spec"]
    for part in ("sessions", "onEmpty", "updateStrategy", "refill"):
        assert stored[part] == whole[part]


def test_the_examples_have_no_field_that_would_be_pruned():
    for path in (ROOT / "examples").glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] == "BrowserPool":
                assert unknown(document, schema(BOTH[0])) == []


# ---------------------------------------------------------------- status
def unknown(value, node, path=""):
    """The paths in ``value`` of which the schema knows nothing: the API server would drop them without a word."""
    if node.get(TREE) or (path == ".metadata"):
        return []
    if isinstance(value, list):
        return [found for one in value for found in unknown(one, node["items"], f"{path}[]")]
    if not isinstance(value, dict) or "additionalProperties" in node:
        return []
    parts = node.get("properties", {})
    return [
        found
        for name, one in value.items()
        for found in ([f"{path}.{name}"] if name not in parts else unknown(one, parts[name], f"{path}.{name}"))
    ]


def test_the_status_that_is_written_is_the_status_that_is_kept():
    region = {"name": "local", "databaseSecretRef": {"name": "own"}, "movingFrom": {}}
    pool = BrowserPool.model_validate({"metadata": {"name": "shop"}, "spec": {"regions": [region]}})
    heard = [RegionStatus(region=RegionName("local"), lag=3.0, stale=True, writers=1)]
    scaled = seen.Scaled(wanted=1, kept=1, reason="Demand", message="")
    world = seen.World(pool=PoolName("shop"), scaled=((RegionName("local"), scaled),))
    summary = status.summary(pool, world, heard=heard)
    now = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    written = status.manifest(summary, previous_conditions=(), now=now)
    node = at(BOTH[0], ".status")
    assert unknown(written, node) == []
    assert written.keys() == node["properties"].keys()
    assert written["regions"][0].keys() == node["properties"]["regions"]["items"]["properties"].keys()
    assert set(node["properties"]["conditions"]["items"]["required"]) <= written["conditions"][0].keys()


def test_a_sessions_status_that_is_written_is_the_status_that_is_kept():
    now = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    whose = {
        "session_id": SessionId("one"),
        "browser_id": BrowserId("shop-eu-0"),
        "fence": Fence(1),
        "pool": PoolName("shop"),
        "region": RegionName("eu"),
        "zone": ZoneName("eu-a"),
        "node": NodeName("node-1"),
        "kind": claims.SessionKind.CDP,
        "token": None,
        "holder": HolderId("controller"),
        "started_at": now,
    }
    live = sessions.Session(**whose, address="10.0.0.1:8082", expires_at=now, ends_at=now, keep_alive=60.0, now=now)
    past = sessions.Past(**whose, ended_at=now, reason=claims.CloseReason.NORMAL_CLOSURE)
    ready = session_status.ready({}, live, url="http://router:8080", spilled=False, generation=1, now=now)
    finished = session_status.finished(ready, past, generation=1, now=now)
    node = at(BOTH[1], ".status")
    assert unknown(ready, node) == []
    assert unknown(finished, node) == []
    assert ready.keys() | finished.keys() == node["properties"].keys()


@pytest.mark.parametrize("crd", BOTH, ids=lambda crd: crd["spec"]["names"]["kind"])
def test_columns_show_fields_that_exist(crd):
    known = dict(nodes(schema(crd)))
    for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]:
        path = column["jsonPath"].split("[?", 1)[0]
        assert path in known or path == ".metadata.creationTimestamp"


def test_the_columns_of_a_pool():
    columns = [c["name"] for c in BOTH[0]["spec"]["versions"][0]["additionalPrinterColumns"] if not c.get("priority")]
    assert columns == ["Desired", "Ready", "Claimed", "Canary", "Age"]


# ---------------------------------------------------------------- the session's manifest
SESSION = {
    "metadata": {"name": "one", "uid": "7"},
    "spec": {"poolRef": {"name": "shop"}, "keepAlive": "90s", "ttl": 3600},
}


def test_a_session_is_read():
    read = session_object.BrowserSession.model_validate(SESSION)
    assert (read.spec.pool_ref.name, read.spec.keep_alive, read.spec.ttl) == ("shop", 90, 3600)
    assert read.metadata.namespace == "default"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "poolRef"),
        ({"poolRef": {"name": "Shop"}}, "should match pattern"),
        ({"poolRef": {"name": "shop"}, "ttl": "soon"}, "written like 90s"),
        ({"poolRef": {"name": "shop"}, "ttlSecondsAfterFinished": -1}, "greater than or equal to 0"),
        ({"poolRef": {"name": "shop"}, "env": {}}, "Extra inputs are not permitted"),
    ],
)
def test_a_bad_session_is_refused_in_words(spec, words):
    with pytest.raises(ValueError, match=words):
        session_object.BrowserSession.model_validate(SESSION | {"spec": spec})
