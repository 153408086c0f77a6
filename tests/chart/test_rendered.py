"""What the chart makes: each object against Kubernetes' own schema, each pod against `restricted`, each process against its settings."""

import copy
import shutil
import ssl

import pytest
import yaml

from browserpool.controller import rights
from browserpool.controller import settings as controller_settings
from browserpool.controller.desired import labels, network
from browserpool.lib import settings
from browserpool.router import app
from browserpool.router import settings as router_settings
from support import charts

BUNDLED = {"database": {"bundled": {"enabled": True}}}
EXISTING = {"database": {"existingSecret": "dsn"}}
EVERYTHING = {
    "database": {**BUNDLED["database"], "regions": ["eu-db", "other.example"]},
    "commonLabels": {"team": "web"},
    "commonAnnotations": {"owner": "web"},
    "image": {"registry": "registry.example", "tag": "2", "pullPolicy": "Always", "pullSecrets": ["pull"]},
    "controller": {
        "extraEnv": [{"name": "BROWSERPOOL_CONCURRENCY", "value": "4"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "priorityClassName": "high",
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{"operator": "Exists"}],
    },
    "router": {
        "kind": "Deployment",
        "replicas": 3,
        "region": "eu",
        "publicUrl": "https://browsers.example",
        "cache": {"where": "postgres", "bytes": 1048576},
        "ai": {
            "url": "http://models.ai.svc:11434/v1",
            "model": "house/1",
            "existingSecret": "model-key",
            "providers": {"workers-ai": "https://example.com/ai/v1", "house": "http://10.2.0.1/v1"},
        },
        "secrets": ["old", "other.example"],
        "placeHeader": "CF-IPCountry",
        "extraEnv": [{"name": "BROWSERPOOL_MAX_BODY", "value": "1048576"}],
        "nodeSelector": {"disk": "fast"},
        "service": {"type": "LoadBalancer", "annotations": {"lb": "internal"}},
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
    },
    "token": {"pools": ["eu", "us"], "concurrency": 5, "ratePerSecond": 2.5},
    "sidecar": {"namespaces": ["apps", "jobs"]},
    "networkPolicy": {
        "clients": [{"namespaceSelector": {"matchLabels": {"team": "web"}}}],
        "apiServer": {"cidrs": ["10.0.0.1/32"]},
        "models": {"cidrs": ["10.2.0.0/16"], "ports": [443, 11434]},
        "elsewhere": {"cidrs": ["10.3.0.0/16"], "ports": [3000]},
        "regionDatabases": {"cidrs": ["10.4.0.0/16", "fd01::/64"], "ports": [5432, 6432]},
        "browsers": {
            "clients": [{"namespaceSelector": {"matchLabels": {"team": "robots"}}}],
            "allowCIDRs": ["10.1.0.0/16", "fd00::/64"],
            "denyCIDRs": ["8.8.8.8/32", "2a00::/32"],
        },
    },
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True},
        "rules": {"enabled": True},
        "dashboard": {"enabled": True},
    },
}
CERT_MANAGER = {**EXISTING, "webhooks": {"certificate": {"certManager": {"enabled": True}}}}
LEAST = {
    **EXISTING,
    "signingKey": {"existingSecret": "own-key"},
    "token": {"existingSecret": "own-token"},
    "webhooks": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "crds": {"install": False},
    "rbac": {"create": False},
    "tests": {"enabled": False},
    "controller": {"pdb": {"enabled": False}},
}
SETS = {
    "a database of one's own": EXISTING,
    "the bundled database": BUNDLED,
    "everything": EVERYTHING,
    "cert-manager": CERT_MANAGER,
    "the least": LEAST,
}
FOREIGN = {"monitoring.coreos.com", "cert-manager.io"}
"""Groups whose schemas are not Kubernetes' own."""

every_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())
install_or_upgrade = pytest.mark.parametrize("upgrade", [False, True], ids=["install", "upgrade"])


@pytest.fixture(scope="module")
def full():
    """All that the chart can make."""
    return charts.rendered(EVERYTHING)


def group(document):
    return document["apiVersion"].rpartition("/")[0]


# ---------------------------------------------------------------- well formed
@every_set
def test_helm_has_no_complaint(values):
    assert charts.lint(values) == []


@every_set
@install_or_upgrade
def test_every_object_fits_its_schema(values, upgrade):
    documents = charts.rendered(values, upgrade=upgrade)
    assert len(documents) >= 6
    complaints = [line for one in documents if group(one) not in FOREIGN for line in charts.complaints(one)]
    assert complaints == []


def test_every_object_fits_the_oldest_release_that_the_chart_takes():
    chart = yaml.safe_load((charts.CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={charts.OLDEST}.0-0"
    documents = charts.rendered({**EVERYTHING, "kubeVersion": f"{charts.OLDEST}.0"})
    ours = [one for one in documents if group(one) not in FOREIGN]
    assert [line for one in ours for line in charts.complaints(one, kubernetes=charts.OLDEST)] == []


def test_the_schemas_find_a_misspelt_field(full):
    wrong = copy.deepcopy(charts.one(full, "Service", "browserpool-router"))
    wrong["spec"]["trafficDistributions"] = "PreferSameNode"
    assert "trafficDistributions" in charts.complaints(wrong)[0]


@every_set
def test_no_object_is_made_twice(values):
    names = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in charts.rendered(values)
    ]
    assert len(names) == len(set(names))


def test_all_that_has_a_namespace_is_in_the_releases(full):
    cluster_wide = {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    }
    elsewhere = {
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        for one in full
        if one["metadata"].get("namespace") != charts.NAMESPACE and one["kind"] not in cluster_wide
    }
    assert elsewhere == {("Secret", "apps", "browserpool-token"), ("Secret", "jobs", "browserpool-token")}
    for one in full:
        if one["kind"] in cluster_wide - {"CustomResourceDefinition"}:
            assert "namespace" not in one["metadata"]
            assert charts.NAMESPACE in one["metadata"]["name"], "two releases must not share it"


def test_labels_and_annotations_of_the_values_are_on_everything(full):
    for one in full:
        if one["kind"] != "CustomResourceDefinition":
            assert one["metadata"]["labels"]["team"] == "web"
        assert one["metadata"]["annotations"]["owner"] == "web"


# ---------------------------------------------------------------- security
def breaches(spec):
    """What Pod Security's level `restricted` would refuse, and a root that can be written."""
    pod = spec.get("securityContext", {})
    if not (pod.get("runAsNonRoot") and pod.get("runAsUser") and pod["seccompProfile"]["type"] == "RuntimeDefault"):
        yield "the pod's securityContext"
    for volume in spec.get("volumes", []):
        if not {"emptyDir", "secret", "configMap", "persistentVolumeClaim"} & volume.keys():
            yield f"volume {volume['name']}"
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{container['name']}: privileges"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']}: its root can be written"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{container['name']}: a port of the node's"
        if not container.get("resources", {}).get("limits", {}).get("memory"):
            yield f"{container['name']}: no limit of memory"


@every_set
@install_or_upgrade
def test_every_pod_passes_restricted(values, upgrade):
    found = list(charts.pod_templates(charts.rendered(values, upgrade=upgrade)))
    assert len(found) >= 3
    assert [(name, breach) for name, spec, _ in found for breach in breaches(spec)] == []


@every_set
def test_only_the_controllers_pods_have_a_token_for_the_api_server(values):
    mounted = {
        name for name, spec, _ in charts.pod_templates(charts.rendered(values)) if spec["automountServiceAccountToken"]
    }
    assert mounted == {"Deployment/browserpool-controller"}


def test_the_controllers_rights_are_those_that_have_a_reason(full):
    name = "browserpool-controller"
    names = {rights.LEASE: name, rights.DEPLOYMENT: name}
    role = charts.one(full, "Role", name)
    assert rights.granted(role["rules"]) == rights.granted(rights.rules(rights.NAMESPACE, names=names))
    cluster = charts.one(full, "ClusterRole", f"{charts.NAMESPACE}-{name}")
    assert rights.granted(cluster["rules"]) == rights.granted(rights.rules(rights.CLUSTER, names=names))
    bound = [one for one in full if one["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    assert [one["subjects"] for one in bound] == [
        [{"kind": "ServiceAccount", "name": name, "namespace": charts.NAMESPACE}]
    ] * 2
    workload = charts.one(full, "Deployment", name)
    assert workload["spec"]["template"]["spec"]["serviceAccountName"] == name


def test_no_secret_stands_in_a_pods_manifest(full):
    secrets = {
        text
        for one in full
        if one["kind"] == "Secret"
        for text in (one.get("stringData") or {}).values()
        if len(text) > 20
    }
    assert len(secrets) >= 4
    pods = yaml.safe_dump([spec for _, spec, _ in charts.pod_templates(full)], width=10_000)
    assert [secret for secret in secrets if secret in pods] == []


# ---------------------------------------------------------------- the processes' settings
def environment(documents, kind, name):
    """A container's environment with what Kubernetes would put in for references."""
    container = charts.one(documents, kind, name)["spec"]["template"]["spec"]["containers"][0]
    return {
        variable["name"]: variable.get("value", "a value of some length that stands for a reference")
        for variable in container["env"]
    }


@every_set
def test_the_processes_take_their_settings_and_know_each_variable(values):
    documents = charts.rendered(values)
    kind = values.get("router", {}).get("kind", "DaemonSet")
    for model, of in (
        (controller_settings.ControllerSettings, ("Deployment", "browserpool-controller")),
        (router_settings.RouterSettings, (kind, "browserpool-router")),
    ):
        given = environment(documents, *of)
        assert sorted(given.keys() - {settings.variable(name) for name in model.model_fields}) == []
        settings.from_environment(model, given)


def test_the_controllers_settings_name_what_the_chart_makes(full):
    given = settings.from_environment(
        controller_settings.ControllerSettings, environment(full, "Deployment", "browserpool-controller")
    )
    service = charts.one(full, "Service", "browserpool-router")
    port = service["spec"]["ports"][0]["port"]
    assert given.router_url == f"http://browserpool-router.{charts.NAMESPACE}.svc:{port}" == given.sidecar_router_url
    assert given.owner_deployment == "browserpool-controller" == given.lease_name
    assert given.browser_image == "registry.example/browserpool-browser:2"
    assert given.sidecar_image == "registry.example/browserpool-router:2"
    assert (given.image_pull_policy, given.image_pull_secrets) == ("Always", "pull")
    mounts = {
        mount["mountPath"]
        for container in charts.one(full, "Deployment", "browserpool-controller")["spec"]["template"]["spec"][
            "containers"
        ]
        for mount in container["volumeMounts"]
    }
    assert given.webhook_cert.rpartition("/")[0] in mounts
    for namespace in ("apps", "jobs"):
        tokens = [one for one in full if one["metadata"].get("namespace") == namespace]
        assert [one["metadata"]["name"] for one in tokens] == [given.sidecar_token_secret]


DRAINS = [
    # values of the router; seconds for actions, for CDP connections, until the kubelet kills
    ({}, 30, 5, 60),
    ({"drainTimeout": 90}, 90, 5, 120),
    ({"cdpDrainTimeout": 600}, 600, 600, 630),
    ({"drainTimeout": 0, "cdpDrainTimeout": 0}, 0, 0, 30),
]


@pytest.mark.parametrize(("values", "actions", "connections", "killed"), DRAINS)
def test_a_router_is_given_the_time_that_its_drain_may_take(values, actions, connections, killed):
    documents = charts.rendered({**EXISTING, "router": values})
    given = settings.from_environment(
        router_settings.RouterSettings, environment(documents, "DaemonSet", "browserpool-router")
    )
    assert (given.drain_timeout, given.cdp_drain_timeout) == (actions, connections)
    pod = charts.one(documents, "DaemonSet", "browserpool-router")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == killed
    preparing = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    # Whatever hangs then: a database, or an agent.
    assert preparing + given.drain_timeout + app.leaving(given) < killed


# ---------------------------------------------------------------- what selects what
def test_every_selector_finds_the_pods_that_it_means(full):
    pods = [found for _, _, found in charts.pod_templates(full)] + [dict(labels.OURS)]
    selectors = [
        (f"{one['kind']}/{one['metadata']['name']}", selector)
        for one in full
        for selector in (
            one["spec"].get("selector") if one["kind"] == "Service" else None,
            one.get("spec", {}).get("podSelector", {}).get("matchLabels") if one["kind"] == "NetworkPolicy" else None,
            one["spec"]["selector"]["matchLabels"] if one["kind"] in {"PodDisruptionBudget", "PodMonitor"} else None,
        )
        if selector
    ]
    assert len(selectors) >= 10
    for name, selector in selectors:
        hits = [found for found in pods if selector.items() <= found.items()]
        components = {found[labels.COMPONENT] for found in hits}
        assert len(components) == 1, f"{name} selects {components}"


def test_another_version_of_the_chart_starts_no_pod_anew(tmp_path, monkeypatch):
    values = {**BUNDLED, "image": {"tag": "2"}}
    before = list(charts.pod_templates(charts.rendered(values)))
    shutil.copytree(charts.CHART, tmp_path / "chart")
    described = tmp_path / "chart" / "Chart.yaml"
    bumped = yaml.safe_load(described.read_text()) | {"version": "77.0.0", "appVersion": "77.0.0"}
    described.write_text(yaml.safe_dump(bumped))
    monkeypatch.setattr(charts, "CHART", tmp_path / "chart")
    documents = charts.rendered(values)
    assert charts.one(documents, "Service", "browserpool-router")["metadata"]["labels"]["helm.sh/chart"].endswith(
        "77.0.0"
    )
    lasting = {"Deployment/browserpool-controller", "DaemonSet/browserpool-router", "StatefulSet/browserpool-database"}
    after = [one for one in charts.pod_templates(documents) if one[0] in lasting]
    assert len(after) == len(lasting)
    assert after == [one for one in before if one[0] in lasting]


def test_a_service_monitor_finds_its_service(full):
    monitors = [one for one in full if one["kind"] == "ServiceMonitor"]
    services = [one["metadata"]["labels"] for one in full if one["kind"] == "Service"]
    assert len(monitors) == 2
    for one in monitors:
        wanted = one["spec"]["selector"]["matchLabels"].items()
        assert sum(wanted <= found.items() for found in services) == 1


def test_a_services_ports_are_ports_of_its_pods(full):
    for service in (one for one in full if one["kind"] == "Service"):
        ports = {
            port["name"]
            for _, spec, found in charts.pod_templates(full)
            if service["spec"]["selector"].items() <= found.items()
            for container in spec["containers"]
            for port in container["ports"]
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


TRAFFIC = [
    ("1.30.4", None),
    ("1.31.0", "PreferClose"),
    ("v1.33.9", "PreferClose"),
    ("1.34.0", "PreferSameNode"),
    ("v1.37.2+k3s1", "PreferSameNode"),
]


@pytest.mark.parametrize(("version", "expected"), TRAFFIC)
def test_traffic_stays_on_the_node_as_far_as_the_cluster_can(version, expected):
    service = charts.one(charts.rendered({**EXISTING, "kubeVersion": version}), "Service", "browserpool-router")
    assert service["spec"].get("trafficDistribution") == expected


def test_a_daemonset_has_no_disruption_budget_and_a_deployment_has():
    # A budget by maxUnavailable needs a scale, which a DaemonSet has not: its pods could never be evicted.
    assert len([one for one in charts.rendered(EXISTING) if one["kind"] == "PodDisruptionBudget"]) == 1
    assert len([one for one in charts.rendered(EVERYTHING) if one["kind"] == "PodDisruptionBudget"]) == 2


@pytest.mark.parametrize("persistent", [True, False])
def test_a_database_without_a_volume_is_not_evicted_from_a_node_that_falls_silent(persistent):
    """Its data would be gone, and with it the schema, which only an upgrade brings back."""
    own = {"key": "pool", "operator": "Exists"}
    bundled = {"enabled": True, "persistence": {"enabled": persistent}, "tolerations": [own]}
    spec = charts.one(charts.rendered({"database": {"bundled": bundled}}), "StatefulSet", "browserpool-database")[
        "spec"
    ]
    stays = [
        {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute"}
        for taint in ("not-ready", "unreachable")
    ]
    assert spec["template"]["spec"]["tolerations"] == ([own] if persistent else [*stays, own])


# ---------------------------------------------------------------- network policies
def doors(documents):
    """What the controller is told of all pools' policies; None: it is to make none."""
    given = environment(documents, "Deployment", "browserpool-controller")
    return settings.from_environment(controller_settings.ControllerSettings, given).network_policy


def test_the_policies_of_browsers_are_the_controllers():
    for documents in (charts.rendered(EXISTING), charts.rendered(EVERYTHING)):
        chosen = [
            one["metadata"]["name"]
            for one in documents
            if one["kind"] == "NetworkPolicy"
            and one["spec"]["podSelector"]["matchLabels"].get(labels.COMPONENT) in {"browser", None}
        ]
        assert chosen == []
        assert doors(documents) is not None


def test_the_values_say_what_the_policies_of_all_pools_have_in_common(full):
    usual, given = doors(charts.rendered(EXISTING)), doors(full)
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}} in usual.dns
    assert (usual.clients, usual.allow, usual.deny) == ((), (), ())
    assert usual.monitoring == ({"namespaceSelector": {}},)
    assert given.clients == ({"namespaceSelector": {"matchLabels": {"team": "robots"}}},)
    assert given.allow == ("10.1.0.0/16", "fd00::/64")
    assert given.deny == ("8.8.8.8/32", "2a00::/32")


@pytest.mark.parametrize("off", [{"enabled": False}, {"browsers": {"enabled": False}}], ids=["all", "browsers"])
def test_no_pool_has_a_policy_where_the_values_say_so(off):
    assert doors(charts.rendered({**EXISTING, "networkPolicy": off})) is None


def test_the_controller_reaches_names_the_database_and_the_api_server():
    rules = charts.one(charts.rendered(EXISTING), "NetworkPolicy", "browserpool-controller")["spec"]["egress"]
    assert sorted({port["port"] for rule in rules for port in rule["ports"]}) == [53, 443, 5432, 6443]


def peers(documents, name, port):
    """The components that may enter at this port; "inject" for clients' pods with a sidecar."""
    rules = charts.one(documents, "NetworkPolicy", name)["spec"]["ingress"]
    (rule,) = [one for one in rules if port in {entry["port"] for entry in one["ports"]}]
    found = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in rule["from"]]
    return {one.get(labels.COMPONENT, "inject") for one in found}


def test_who_may_enter_where():
    documents = charts.rendered(BUNDLED)
    assert peers(documents, "browserpool-database", 5432) == {"router", "controller", "migrate"}
    assert "ingress" not in charts.one(documents, "NetworkPolicy", "browserpool-migrate")["spec"]


def test_no_pod_gets_in_by_a_label_that_it_gives_itself(full):
    rules = charts.one(full, "NetworkPolicy", "browserpool-router")["spec"]["ingress"]
    (rule,) = [one for one in rules if 8080 in {entry["port"] for entry in one["ports"]}]
    (hook,) = charts.one(full, "MutatingWebhookConfiguration", "browsers-browserpool")["webhooks"]
    asked = {"namespaceSelector": hook["namespaceSelector"], "podSelector": hook["objectSelector"]}
    assert [peer for peer in rule["from"] if "namespaceSelector" in peer and "podSelector" in peer] == [asked]
    assert asked == network.SIDECARS


def test_named_clients_shut_the_router_to_others_but_not_to_browsers(full):
    rule = charts.one(full, "NetworkPolicy", "browserpool-router")["spec"]["ingress"][0]
    assert {"namespaceSelector": {"matchLabels": {"team": "web"}}} in rule["from"]
    assert peers(full, "browserpool-router", 8080) >= {"browser", "router", "test"}


def to_others(documents):
    """Where a router may go besides DNS, database, browsers and routers: (CIDRs, ports)."""
    rules = charts.one(documents, "NetworkPolicy", "browserpool-router")["spec"]["egress"]
    usual = {53, 5432, 8080, 8082}
    return [
        ([peer["ipBlock"]["cidr"] for peer in rule.get("to", [])], [entry["port"] for entry in rule["ports"]])
        for rule in rules
        if not usual & {entry["port"] for entry in rule["ports"]}
    ]


@pytest.mark.parametrize(
    ("values", "ways"),
    [
        ({}, []),
        ({"router": {"ai": {"wellKnown": True}}}, [([], [443])]),
        ({"router": {"ai": {"providers": {"a": "https://a/v1"}}}}, [([], [443])]),
        ({"networkPolicy": {"elsewhere": {"ports": [3000, 443]}}}, [([], [3000, 443])]),
        (EVERYTHING, [(["10.2.0.0/16"], [443, 11434]), (["10.3.0.0/16"], [3000])]),
    ],
    ids=["none", "well known", "named", "elsewhere", "all set"],
)
def test_routers_reach_models_and_other_systems_only_where_there_are_some(values, ways):
    assert to_others(charts.rendered(values if "database" in values else {**EXISTING, **values})) == ways


def secrets_read_as_files(documents, kind, name):
    """Of a workload's first container, the Secrets in its directory of secrets: (read only, optional) by name."""
    spec = charts.one(documents, kind, name)["spec"]["template"]["spec"]
    container = [*spec.get("initContainers", []), *spec["containers"]][0 if kind == "Job" else -1]
    (directory,) = [one["value"] for one in container["env"] if one["name"] == "BROWSERPOOL_SECRETS_DIR"]
    mounts = {one["name"]: one for one in container["volumeMounts"] if one["mountPath"].startswith(f"{directory}/")}
    found = {}
    for volume in (one for one in spec["volumes"] if one["name"] in mounts):
        mount, secret = mounts.pop(volume["name"]), volume["secret"]
        assert mount["mountPath"] == f"{directory}/{secret['secretName']}"
        found[secret["secretName"]] = (mount["readOnly"], secret["optional"])
    assert mounts == {}
    return found


def test_secrets_are_mounted_where_the_processes_read_them(full):
    """Tokens for other systems and regions' connection strings; what is named for both, once."""
    expected = dict.fromkeys(["old", "other.example", "eu-db"], (True, True))
    assert secrets_read_as_files(full, "Deployment", "browserpool-router") == expected
    del expected["old"]
    assert secrets_read_as_files(full, "Deployment", "browserpool-controller") == expected
    assert secrets_read_as_files(full, "Job", "browserpool-schema") == expected
    upgraded = charts.rendered(EVERYTHING, upgrade=True)
    assert secrets_read_as_files(upgraded, "Job", "browserpool-migrate") == expected
    bare = [
        volume
        for _, spec, _ in charts.pod_templates(charts.rendered({**EXISTING, "webhooks": {"enabled": False}}))
        for volume in spec.get("volumes", [])
        if "secret" in volume
    ]
    assert bare == []


def test_all_who_use_the_databases_of_regions_reach_them(full):
    there = {
        "ports": [{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 6432}],
        "to": [{"ipBlock": {"cidr": "10.4.0.0/16"}}, {"ipBlock": {"cidr": "fd01::/64"}}],
    }
    anywhere = {"ports": [{"protocol": "TCP", "port": 5432}]}
    some = charts.rendered({"database": {**BUNDLED["database"], "regions": ["eu-db"]}})
    none = charts.rendered({**BUNDLED, "networkPolicy": EVERYTHING["networkPolicy"]})
    for component in ("router", "controller", "migrate"):

        def ways(documents, name=f"browserpool-{component}"):
            return charts.one(documents, "NetworkPolicy", name)["spec"]["egress"]

        assert there in ways(full)
        assert anywhere in ways(some)
        assert [one for one in (there, anywhere) if one in ways(none)] == []


def test_the_models_key_comes_from_its_secret_and_its_addresses_as_the_router_reads_them(full):
    container = charts.one(full, "Deployment", "browserpool-router")["spec"]["template"]["spec"]["containers"][0]
    (key,) = [one for one in container["env"] if one["name"] == "BROWSERPOOL_AI_KEY"]
    assert key["valueFrom"] == {"secretKeyRef": {"name": "model-key", "key": "key"}}
    said = environment(full, "Deployment", "browserpool-router")
    config = settings.from_environment(router_settings.RouterSettings, said)
    assert (config.cache, config.cache_bytes, config.ai_model) == ("postgres", 1048576, "house/1")
    assert config.place_header == "CF-IPCountry"
    assert config.providers.bases == {"workers-ai": "https://example.com/ai/v1", "house": "http://10.2.0.1/v1"}


# ---------------------------------------------------------------- webhooks
def test_the_webhooks_certificate_is_its_services_and_the_api_server_can_check_it(tmp_path):
    documents = charts.rendered(EXISTING)
    secret = charts.one(documents, "Secret", "browserpool-webhooks")
    (hook,) = charts.one(documents, "MutatingWebhookConfiguration", "browsers-browserpool")["webhooks"]
    (guard,) = charts.one(documents, "ValidatingWebhookConfiguration", "browsers-browserpool")["webhooks"]
    assert hook["clientConfig"]["caBundle"] == secret["data"]["ca.crt"] == guard["clientConfig"]["caBundle"]
    for name, text in secret["data"].items():
        (tmp_path / name).write_bytes(charts.decoded(text))
    service = hook["clientConfig"]["service"]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    charts.handshake(client, server, name=f"{service['name']}.{service['namespace']}.svc")
    with pytest.raises(ssl.SSLCertVerificationError):
        charts.handshake(client, server, name="another.browsers.svc")


def test_a_failing_webhook_blocks_nothing_and_unlabelled_pods_never_meet_it(full):
    (hook,) = charts.one(full, "MutatingWebhookConfiguration", "browsers-browserpool")["webhooks"]
    (guard,) = charts.one(full, "ValidatingWebhookConfiguration", "browsers-browserpool")["webhooks"]
    assert {hook["failurePolicy"], guard["failurePolicy"]} == {"Ignore"}
    assert max(hook["timeoutSeconds"], guard["timeoutSeconds"]) <= 5
    assert hook["objectSelector"]["matchLabels"] == {"browserpool.dev/inject": "true"}
    assert hook["namespaceSelector"]["matchLabels"] == {"browserpool.dev/injection": "enabled"}
    assert guard["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": charts.NAMESPACE}


def test_cert_manager_makes_the_certificate_where_it_is_asked_to():
    documents = charts.rendered(CERT_MANAGER)
    certificate = charts.one(documents, "Certificate", "browserpool-webhooks")
    mounted = charts.one(documents, "Deployment", "browserpool-controller")["spec"]["template"]["spec"]["volumes"]
    assert certificate["spec"]["secretName"] in {one["secret"]["secretName"] for one in mounted if "secret" in one}
    hooks = charts.one(documents, "MutatingWebhookConfiguration", "browsers-browserpool")
    assert hooks["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == "browsers/browserpool-webhooks"
    assert "caBundle" not in hooks["webhooks"][0]["clientConfig"]
    assert [one for one in documents if one["kind"] == "Secret" and one["type"] == "kubernetes.io/tls"] == []
