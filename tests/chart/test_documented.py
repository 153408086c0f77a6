"""What the chart says of itself is so: values, alerts and dashboard name what exists; the notes and the README say how it is used."""

import itertools
import json
import re

import pytest
import yaml

from browserpool import metrics
from browserpool.model import pool
from support import charts

VALUES = yaml.safe_load((charts.CHART / "values.yaml").read_text())
SCHEMA = json.loads((charts.CHART / "values.schema.json").read_text())
README = (charts.CHART / "README.md").read_text()
MONITORED = {
    "database": {"existingSecret": "dsn"},
    "monitoring": {"rules": {"enabled": True}, "dashboard": {"enabled": True}},
}
PROMETHEUS_OWN = {"namespace", "le", "pod"}
"""Labels that the scraping adds, and the histograms' own."""


# ---------------------------------------------------------------- values
def leaves(values, schema, path=()):
    """(dotted name, default) of each value that is set as a whole: of a closed object its members, of the rest itself."""
    properties = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False and values and set(values) == set(properties) - {"global"}
    if not closed:
        yield ".".join(path), values
        return
    for name, value in values.items():
        yield from leaves(value, properties[name], (*path, name))


def test_the_readme_lists_every_value_with_its_default():
    rows = [
        line.strip("| ").split(" | ") for line in README.split("## Values\n")[1].splitlines() if line.startswith("| `")
    ]
    documented = [(name.strip("`"), json.loads(default.strip("`"))) for name, default, _ in rows]
    assert documented == list(leaves(VALUES, SCHEMA))
    assert len(documented) > 80


def test_the_schema_knows_every_value_and_no_other():
    def keys(values, schema, path=()):
        for name, part in schema.get("properties", {}).items():
            yield (*path, name)
            if isinstance(values.get(name), dict) and part.get("additionalProperties") is False:
                yield from keys(values[name], part, (*path, name))

    named = {path for path in keys(VALUES, SCHEMA) if path[0] != "global"}
    for path in named:
        value = VALUES
        for part in path:
            if part in {"requests", "limits", "claims", "name", "kind", "group"} and part not in value:
                break  # of an object that may be empty
            value = value[part]


def test_every_default_has_its_comment():
    lines = (charts.CHART / "values.yaml").read_text().splitlines()
    bare = [
        line.strip()
        for before, line in itertools.pairwise(lines)
        if re.match(r" *[A-Za-z]\w*: *\S", line) and not before.strip()
    ]
    assert bare == []


# ---------------------------------------------------------------- metrics
def known():
    """Each name that a Prometheus sees, and its labels."""
    found = {}
    for metric in metrics.REGISTRY._collector_to_names:
        suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[metric._type]
        for suffix in suffixes:
            found[metric._name + suffix] = set(metric._labelnames)
    return found


def expressions():
    documents = charts.rendered(MONITORED)
    for group in charts.one(documents, "PrometheusRule", "browserpool")["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads(charts.one(documents, "ConfigMap", "browserpool-dashboard")["data"]["browserpool.json"])
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_alerts_and_dashboard_ask_for_metrics_that_exist(title, expression):
    exist = known()
    named = set(re.findall(r"browserpool_\w+", expression))
    assert named, "it asks for nothing of ours"
    assert named <= exist.keys()
    possible = set().union(*(exist[name] for name in named)) | PROMETHEUS_OWN
    used = set(re.findall(r"(\w+)=~?\"", expression))
    for clause in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        used |= {label.strip() for label in clause.split(",")}
    assert used <= possible


def test_the_dashboard_shows_every_metric():
    shown = " ".join(expression for _, expression in expressions())
    missing = [metric._name for metric in metrics.REGISTRY._collector_to_names if metric._name not in shown]
    assert missing == []


def test_the_alerts_are_those_that_were_asked_for():
    alerts = {title for title, _ in expressions() if title.startswith("Browserpool")}
    assert alerts >= {
        f"Browserpool{what}" for what in ("PoolEmpty", "RefillStalled", "RegionLag", "LeaseExpiries", "NoLeader")
    }


# ---------------------------------------------------------------- notes
def test_the_notes_show_the_first_request_of_this_release():
    said = charts.notes({"database": {"existingSecret": "dsn"}, "token": {"existingSecret": "mine"}})
    assert "kubectl get secret -n browsers mine -o jsonpath='{.data.token}'" in said
    assert "port-forward -n browsers service/browserpool-router 8080:8080" in said
    manifest = said.split("<<'POOL'\n")[1].split("POOL")[0]
    assert yaml.safe_load(manifest)["kind"] == "BrowserPool"
    assert "trials" not in said
    assert "databaseSecretRef" not in said
    assert "trials" in charts.notes({"database": {"bundled": {"enabled": True}}})


def test_the_notes_show_how_a_region_names_its_database():
    said = charts.notes({"database": {"existingSecret": "dsn", "regions": ["eu-db", "us-db"]}})
    (line,) = [one for one in said.splitlines() if "databaseSecretRef" in one]
    (region,) = yaml.safe_load(line)["regions"]
    assert pool.Region.model_validate(region).databases == ("eu-db/dsn",)
    assert "eu-db, us-db" in said
