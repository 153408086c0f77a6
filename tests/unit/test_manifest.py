"""Manifests from files: what is read, and how a mistake is shown: file, line, field, no traceback."""

import pytest

from browserpool.local import manifest

GOOD = """\
apiVersion: browserpool.dev/v1alpha1
kind: BrowserPool
metadata:
  name: shop
spec:
  replicas: 2
"""


def test_yaml_with_several_documents_and_an_empty_one():
    pools = manifest.parse(GOOD + "---\n" + GOOD.replace("shop", "press") + "---\n", source="pools.yaml")
    assert [(pool.name, pool.spec.replicas) for pool in pools] == [("shop", 2), ("press", 2)]


@pytest.mark.parametrize("text", ['{"metadata": {"name": "shop"}}', '[\n\t{"metadata": {"name": "shop"}}\n]'])
def test_json_one_or_a_list(tmp_path, text):
    path = tmp_path / "pool.json"
    path.write_text(text)
    assert [pool.name for pool in manifest.read(path)] == ["shop"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "p.yaml: is empty. A manifest starts with"),
        ("just words", "p.yaml:1: a manifest is a mapping, and this is str."),
        ("a: [1\nb: 2\n", "p.yaml:2: is not YAML: "),
        ("a: b\n\tc: d\n", "p.yaml:2: is not YAML: "),
        (GOOD.replace("BrowserPool", "Service"), "p.yaml:2: kind is Service; this file may hold BrowserPool only."),
        (GOOD.replace("2\n", "many\n"), "p.yaml:6: spec.replicas: Input should be a valid integer"),
        (GOOD.replace("replicas", "replica"), "p.yaml:6: spec.replica: there is no such field"),
        (GOOD.replace("shop", "Shop"), "p.yaml:4: metadata.name: String should match pattern"),
        (GOOD.replace("  name: shop", "  labels: {}"), "p.yaml:4: metadata.name: Field required"),
        (GOOD + "  maxReplicas: 1\n", "regions: local has maxReplicas 1 below replicas 2"),
        (
            GOOD + "  regions:\n    - name: eu\n    - name: us\n      backup: asia\n",
            "us has backup asia, which is not among",
        ),
        (GOOD + "  egress:\n    allow: [10.0.0.0/8, ten]\n", "p.yaml:8: spec.egress.allow.1: 'ten' does not appear"),
        (GOOD + "  sessions:\n    keepAlive: soon\n", "p.yaml:8: spec.sessions.keepAlive: a duration is written like"),
        (GOOD + "---\n" + GOOD, "p.yaml: pool shop stands there twice"),
        (
            GOOD.replace("shop", "a-b") + "---\n" + GOOD.replace("shop", "a") + "  regions: [{name: b-local}]\n",
            "pools a-b and a would both name their browsers a-b-local-0",
        ),
        ("a: &a [*a]\n", "p.yaml"),
        ("? {a: b}\n: c\n", "p.yaml:1: is not YAML: found unhashable key"),
    ],
)
def test_a_mistake_is_shown_where_it_stands(text, complaint):
    with pytest.raises(manifest.InvalidManifest) as caught:
        manifest.parse(text, source="p.yaml")
    assert complaint in caught.value.message


def test_every_mistake_is_shown_at_once():
    text = GOOD.replace("2\n", "-1\n  refil: {}\n")
    with pytest.raises(manifest.InvalidManifest) as caught:
        manifest.parse(text, source="p.yaml")
    assert [line.split(": ")[:2] for line in caught.value.message.splitlines()] == [
        ["p.yaml:6", "spec.replicas"],
        ["p.yaml:7", "spec.refil"],
    ]


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(manifest.InvalidManifest, match="there is no such file"):
        manifest.read(tmp_path / "none.yaml")
    with pytest.raises(manifest.InvalidManifest, match="cannot be read"):
        manifest.read(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(manifest.InvalidManifest, match="cannot be read"):
        manifest.read(binary)


def test_broken_json_names_its_line(tmp_path):
    path = tmp_path / "pool.json"
    path.write_text('{\n  "kind": \n}')
    with pytest.raises(manifest.InvalidManifest, match=r"pool.json:3: is not JSON"):
        manifest.read(path)
