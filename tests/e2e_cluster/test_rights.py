"""What the installed processes may do at the API server, by its own answer: the list of ``controller.rights``, and nothing else."""

import json

import pytest

from browserpool.controller import rights
from support import release as releases

CONTROLLER = "browserpool-controller"
NAMES = {rights.LEASE: CONTROLLER, rights.DEPLOYMENT: CONTROLLER}
ANYBODYS = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews", "clustertrustbundles"}
"""Resources on which Kubernetes itself gives rights to whoever is known to it."""


def granted(cluster, account, *, within):
    """The account's rights in the namespace ``within``, as ``rights.granted`` has them."""
    user = f"system:serviceaccount:{releases.NAMESPACE}:{account}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{releases.NAMESPACE}", "system:authenticated"]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": within},
    }
    said = cluster.kubectl(
        "create", "--raw", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "--filename", "-",
        "--as", user, *(f"--as-group={group}" for group in groups), text=json.dumps(review),
    )  # fmt: skip
    status = json.loads(said)["status"]
    assert not status["incomplete"]
    return {one for one in rights.granted(status["resourceRules"]) if one[1] not in ANYBODYS}


def listed(some):
    return rights.granted(rights.rules(some, names=NAMES))


def test_the_controller_may_do_what_is_listed(release):
    found = granted(release.cluster, CONTROLLER, within=releases.NAMESPACE)
    assert found == listed(rights.NAMESPACE) | listed(rights.CLUSTER)


@pytest.mark.parametrize("elsewhere", ["default", "kube-system", releases.CLIENTS])
def test_in_other_namespaces_it_sees_nodes_and_nothing_else(release, elsewhere):
    assert granted(release.cluster, CONTROLLER, within=elsewhere) == listed(rights.CLUSTER)


def test_no_other_account_may_do_anything(release):
    accounts = {
        one["metadata"]["name"] for one in release.cluster.listing("serviceaccounts", namespace=releases.NAMESPACE)
    }
    assert {CONTROLLER, "default"} <= accounts
    for account in accounts - {CONTROLLER}:
        assert granted(release.cluster, account, within=releases.NAMESPACE) == set(), account


def test_only_the_controllers_pods_have_a_token_to_use(release):
    with release.pool("rights", replicas=1, regions=[{"name": "eu"}]):
        for pod in release.cluster.listing("pods", namespace=releases.NAMESPACE):
            mounted = [
                source
                for volume in pod["spec"].get("volumes", ())
                for source in volume.get("projected", {}).get("sources", ())
                if "serviceAccountToken" in source
            ]
            is_controller = pod["metadata"]["labels"].get("app.kubernetes.io/component") == "controller"
            assert bool(mounted) == is_controller, pod["metadata"]["name"]
