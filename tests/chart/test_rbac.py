"""The chart grants what ``controller.rights`` lists, to the controller, and nothing to anybody else."""

import pytest

from browserpool.controller import rights
from support import charts

SETS = [
    {"database": {"existingSecret": "dsn"}},
    {"database": {"bundled": {"enabled": True}}, "fullnameOverride": "shop", "router": {"kind": "Deployment"}},
    {"database": {"existingSecret": "dsn"}, "webhooks": {"enabled": False}, "crds": {"install": False}},
]
RBAC = {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


@pytest.fixture(params=SETS, ids=["usual", "bundled", "bare"], scope="module")
def documents(request):
    return charts.rendered(request.param)


def of(documents, kind):
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def deployment(documents):
    (found,) = (
        document
        for document in documents
        if document["kind"] == "Deployment" and document["metadata"]["name"].endswith("-controller")
    )
    return found


def setting(documents, name):
    (container,) = deployment(documents)["spec"]["template"]["spec"]["containers"]
    return next(one["value"] for one in container["env"] if one["name"] == f"BROWSERPOOL_{name}")


def test_the_role_is_the_list(documents):
    names = {rights.LEASE: setting(documents, "LEASE_NAME"), rights.DEPLOYMENT: setting(documents, "OWNER_DEPLOYMENT")}
    role = of(documents, "Role")
    assert role["metadata"]["namespace"] == charts.NAMESPACE
    assert rights.granted(role["rules"]) == rights.granted(rights.rules(rights.NAMESPACE, names=names))
    cluster = of(documents, "ClusterRole")
    assert rights.granted(cluster["rules"]) == rights.granted(rights.rules(rights.CLUSTER, names={}))


def test_the_settings_name_the_objects_that_the_role_is_for(documents):
    assert setting(documents, "OWNER_DEPLOYMENT") == deployment(documents)["metadata"]["name"]


def test_only_the_controller_is_bound(documents):
    account = deployment(documents)["spec"]["template"]["spec"]["serviceAccountName"]
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        binding = of(documents, kind)
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": charts.NAMESPACE}]
        role = of(documents, kind.removesuffix("Binding"))
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["roleRef"]["kind"] == role["kind"]
    assert sum(document["kind"] in RBAC for document in documents) == 4


def test_no_other_pod_has_a_token(documents):
    account = deployment(documents)["spec"]["template"]["spec"]["serviceAccountName"]
    for label, spec, _ in charts.pod_templates(documents):
        if spec.get("serviceAccountName") != account:
            assert spec.get("automountServiceAccountToken") is False, label


def test_no_rights_are_made_where_an_administrator_makes_them():
    documents = charts.rendered({"database": {"existingSecret": "dsn"}, "rbac": {"create": False}})
    assert not [document for document in documents if document["kind"] in RBAC]
