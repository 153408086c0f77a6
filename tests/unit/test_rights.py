"""The controller's rights are what its code asks for: no request without a right, no right without a request."""

import ast
import pathlib

import pytest

from browserpool.controller import kube, rights

CONTROLLER = pathlib.Path(rights.__file__).parent
VERBS = {"get": "get", "create": "create", "replace": "update", "delete": "delete", "patch": "patch"}
KOPFS = {
    ("browserpool.dev", plural, verb) for plural in ("browserpools", "browsersessions") for verb in ("list", "watch")
}
"""What kopf asks for where our code only names the resource."""


def resource(node):
    """The kube.Resource that an argument names, or None."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "kube":
        found = getattr(kube, node.attr, None)
        return found if isinstance(found, kube.Resource) else None
    return None


def asked(call):
    """The rights that one call in the code needs, as (group, resource, verb)."""
    named = [found for argument in call.args if (found := resource(argument)) is not None]
    if not named or not isinstance(call.func, ast.Attribute):
        return set()
    method, (one, *_) = call.func.attr, named
    if method == "Mirror":
        return {(one.group, one.plural, "list"), (one.group, one.plural, "watch")}
    sub = next((keyword.value.value for keyword in call.keywords if keyword.arg == "subresource"), "")
    return {(one.group, f"{one.plural}/{sub}" if sub else one.plural, VERBS.get(method, method))}


def test_the_rights_are_what_the_code_asks_for():
    calls = [
        node
        for path in CONTROLLER.rglob("*.py")
        if path.name != "kube.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]
    needed = set().union(*map(asked, calls)) | KOPFS
    given = {(one.group, one.resource, verb) for one in (*rights.NAMESPACE, *rights.CLUSTER) for verb in one.verbs}
    assert needed - given == set(), "a request without a right"
    assert given - needed == set(), "a right that nothing needs"


@pytest.mark.parametrize("right", [*rights.NAMESPACE, *rights.CLUSTER], ids=lambda right: right.resource)
def test_each_right_is_narrow_and_says_why(right):
    assert right.why
    assert "*" not in {right.group, right.resource, *right.verbs}
    assert not {"deletecollection", "escalate", "bind", "impersonate"} & right.verbs
    assert "secrets" not in right.resource or not {"get", "list", "watch"} & right.verbs


def test_only_nodes_are_seen_cluster_wide():
    assert [(right.resource, sorted(right.verbs)) for right in rights.CLUSTER] == [("nodes", ["list", "watch"])]


def test_rules_are_a_roles():
    names = {rights.LEASE: "shop-controller", rights.DEPLOYMENT: "shop-controller"}
    rules = rights.rules(rights.NAMESPACE, names=names)
    assert {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "update"],
        "resourceNames": ["shop-controller"],
    } in rules
    assert {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "delete", "patch"]} in rules


def test_two_ways_of_writing_the_same_rules_are_equal():
    joined = [{"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["list", "watch"]}]
    apart = [
        {"apiGroups": [""], "resources": [kind], "verbs": [verb]}
        for verb in ("watch", "list")
        for kind in ("nodes", "pods")
    ]
    assert rights.granted(joined) == rights.granted(apart)
    assert rights.granted(joined) != rights.granted([{**joined[0], "resourceNames": ["a"]}])
