"""The CustomResourceDefinitions, made from the models: ``python -m browserpool.controller.crds DIRECTORY…`` writes them.

The schemas are structural: no references, no null types, nothing left open but a pod's spec. What pydantic checks across fields stands
here once more as CEL, so that the API server refuses at ``kubectl apply`` what the controller could only complain of later. Every list
and text that a rule looks at has a bound, or the API server would refuse the rule as too costly. Pure but for ``main``.
"""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pydantic
import yaml

from browserpool.controller import crds_texts
from browserpool.model import names, session_object
from browserpool.model import pool as model_pool

Schema = dict[str, Any]

_GROUP, _VERSION = model_pool.API_VERSION.split("/")
_KEPT: Final = (
    "description", "type", "enum", "format", "pattern", "minimum", "maximum", "minItems", "maxItems", "minLength",
    "maxLength", "x-kubernetes-int-or-string",
)  # fmt: skip
_TEXT, _ITEMS = 1024, 256
"""Bounds of what the models leave open."""
_SCALE: Final = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.warmReplicas",
    "labelSelectorPath": ".status.selector",
}


def browserpools() -> Schema:
    """The CRD of BrowserPool."""
    spec = structural(model_pool.PoolSpec)
    properties = spec["properties"]
    properties["template"] = {"description": properties["template"]["description"]} | crds_texts.TEMPLATE
    properties["regions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    properties["chromium"]["properties"]["features"] |= {"x-kubernetes-list-type": "set"}
    properties["autoscaling"]["properties"]["schedule"]["items"]["properties"]["days"] |= {
        "x-kubernetes-list-type": "set"
    }
    _add_rules(spec, crds_texts.POOL_RULES)
    # Without this an object that has no spec at all would be stored without the defaults.
    spec["default"] = _begun(model_pool.PoolSpec())
    schema = _root(
        "A pool of warm browsers: how many each region keeps ready, from which template, under which rules.",
        spec=spec,
        status=crds_texts.POOL_STATUS,
    )
    schema["x-kubernetes-validations"] = list(crds_texts.POOL_ROOT_RULES)
    return _definition(
        kind=model_pool.KIND,
        short="bp",
        schema=schema,
        columns=crds_texts.POOL_COLUMNS,
        subresources={"status": {}, "scale": _SCALE},
    )


def browsersessions() -> Schema:
    """The CRD of BrowserSession."""
    spec = structural(session_object.SessionSpec)
    _add_rules(spec, crds_texts.SESSION_RULES)
    schema = _root(
        "A session: one browser, held for as long as the object exists, reached at status.webSocketDebuggerUrl.",
        spec=spec,
        status=crds_texts.SESSION_STATUS,
    )
    return _definition(
        kind=session_object.KIND,
        short="bs",
        schema=schema | {"required": ["spec"]},
        columns=crds_texts.SESSION_COLUMNS,
        subresources={"status": {}},
    )


def structural(model: type[pydantic.BaseModel]) -> Schema:
    """The structural schema of ``model``, with the defaults that it gives to what is left out."""
    whole = model.model_json_schema(by_alias=True)
    required = any(field.is_required() for field in model.model_fields.values())
    begun = {} if required else _begun(model())
    return _structural(whole, definitions=whole.get("$defs", {}), begun=begun)


def _structural(given: Mapping[str, Any], *, definitions: Mapping[str, Any], begun: Any) -> Schema:
    schema = _resolved(given, definitions)
    made: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if "description" in made:
        made["description"] = made["description"].replace("``", "")
    match made.get("type"):
        case "object" if "properties" in schema:
            had = begun if isinstance(begun, dict) else {}
            made["properties"] = {
                name: _property(part, definitions=definitions, begun=had.get(name))
                for name, part in schema["properties"].items()
            }
            if schema.get("required"):
                made["required"] = sorted(schema["required"])
        case "object" if isinstance(values := schema.get("additionalProperties"), dict):
            made["additionalProperties"] = _structural(values, definitions=definitions, begun=None)
            made["maxProperties"] = _ITEMS
        case "array":
            made["items"] = _structural(schema["items"], definitions=definitions, begun=None)
            made.setdefault("maxItems", _ITEMS)
        case "string" if "enum" not in made:
            made.setdefault("maxLength", 63 if made.get("pattern") == f"^{names.LABEL_PATTERN}$" else _TEXT)
        case "integer":
            made["format"] = "int64"
    return made


def _property(part: Mapping[str, Any], *, definitions: Mapping[str, Any], begun: Any) -> Schema:
    made = _structural(part, definitions=definitions, begun=begun)
    if begun is not None:
        # Whole, though its parts have the same defaults: the API server holds a default to the rules before it completes it.
        made["default"] = begun
    return made


def _begun(model: pydantic.BaseModel) -> Schema:
    """What ``model`` holds, without what is empty."""
    filled: Schema = _filled(model.model_dump(mode="json", by_alias=True))
    return filled


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        parts = {name: _filled(one) for name, one in value.items()}
        return {name: one for name, one in parts.items() if one is not None and one not in ({}, [])}
    return [_filled(one) for one in value] if isinstance(value, list) else value


def _resolved(given: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """``given`` without references, and without the null that stands for "left out"."""
    schema = dict(given)
    if "anyOf" in schema:
        (only,) = (option for option in schema.pop("anyOf") if option.get("type") != "null")
        schema = {**only, **schema}
    while "$ref" in schema:
        named = definitions[schema.pop("$ref").removeprefix("#/$defs/")]
        schema = {**named, **schema}
    return schema


def _add_rules(schema: Schema, rules: Mapping[str, Sequence[Schema]]) -> None:
    for path, some in rules.items():
        place = schema
        for step in filter(None, path.split(".")):
            place = place["items"] if step == "[]" else place["properties"][step]
        place["x-kubernetes-validations"] = list(some)


def _root(description: str, *, spec: Schema, status: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }


def _definition(*, kind: str, short: str, schema: Schema, columns: Sequence[Schema], subresources: Schema) -> Schema:
    version = {
        "name": _VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": list(columns),
        "subresources": subresources,
        "schema": {"openAPIV3Schema": schema},
    }
    singular = kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": f"{singular}s",
                "singular": singular,
                "shortNames": [short],
                # Not the name of a kind: `kubectl get browserpool NAME` would then mean both.
                "categories": ["browserpool-all"],
            },
            "versions": [version],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes a value each time it occurs: an anchor is legal, and nobody expects one in a CRD."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def files() -> dict[str, str]:
    """The text of each CRD's file, by the file's name."""
    head = "# Made from operator/browserpool/model by `make crds`.\n"
    return {
        f"{_GROUP}_{one['spec']['names']['plural']}.yaml": head
        + yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=130)
        for one in (browserpools(), browsersessions())
    }


def main(directories: Sequence[str]) -> None:
    """Write both files into each of ``directories``."""
    for directory in map(pathlib.Path, directories):
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files().items():
            (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
