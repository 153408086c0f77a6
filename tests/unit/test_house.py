"""The house rules that no linter holds: what shadows what, what is described, what is documented."""

import ast
import dataclasses
import json
import operator
import pathlib
import re
import subprocess
import sys
import sysconfig
import tomllib

import pytest
import typer.main

from browserpool import metrics
from browserpool.agent import settings as agent_settings
from browserpool.cli import main as cli
from browserpool.controller import settings as controller_settings
from browserpool.lib import settings
from browserpool.router import routes
from browserpool.router import settings as router_settings
from browserpool.router.sidecar import settings as sidecar_settings

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "browserpool"
README = (ROOT / "README.md").read_text()
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE = 400


def tracked():
    """The repository's text files. From git, so that a virtual environment inside is not looked at."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".pdf", ".pem"}:
            yield path


def table(heading, *, level="##"):
    """The rows under a heading, each a list of its cells without backticks, header left out."""
    section = README.split(f"\n{level} {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split(" | ")] for row in rows[1:]]


# ---------------------------------------------------------------- names
def test_the_source_root_is_no_package():
    assert not (ROOT / "operator" / "__init__.py").exists()
    standard = pathlib.Path(sysconfig.get_path("stdlib")).resolve()
    assert pathlib.Path(operator.__file__).resolve() == standard / "operator.py"


def test_python_m_pytest_from_the_root_finds_the_standard_operator():
    code = "import collections, operator; print(operator.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("operator.py")


# ---------------------------------------------------------------- modules
@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_module_says_what_it_is_and_stays_readable(path):
    source = path.read_text()
    assert ast.get_docstring(ast.parse(source)), "a module opens with what it is for"
    assert source.count("\n") <= LONGEST_MODULE, "split it"


@pytest.mark.parametrize(
    "package",
    [path.parent for path in MODULES if path.name == "__init__.py" and path.parent.name not in ("wire", "browserpool")],
    ids=lambda path: path.name,
)
def test_each_packages_charter_lists_its_modules(package):
    charter = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    modules = {path.stem for path in package.glob("*.py") if path.stem != "__init__"}
    packages = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    if package.name == "lib":
        return  # its charter is about what may not enter; its modules speak for themselves
    missing = sorted(name for name in modules | packages if f"``{name}``" not in charter)
    assert missing == [], f"{package.name}'s charter does not mention them"


def test_the_layers_are_contracts():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    kinds = [contract["type"] for contract in contracts]
    assert kinds.count("layers") == 1
    assert kinds.count("forbidden") >= 5
    assert contracts[kinds.index("layers")]["exhaustive"]


def test_nothing_in_the_repository_knows_a_machine():
    own = pathlib.Path(__file__).resolve()
    homes = re.compile(r"/(?:home|Users)/[a-z]+/|/root/[a-z.]")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path.resolve() != own
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if homes.search(line)
    ]
    assert found == []


def test_versions_are_pinned_by_number_alone():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(lines) > 50
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []


# ---------------------------------------------------------------- README
def test_every_metric_is_documented():
    described = [
        [
            metric._name + ("_total" if metric._type == "counter" else ""),
            metric._type,
            ", ".join(f"`{label}`" for label in metric._labelnames).strip("`") or "–",
            metric._documentation,
        ]
        for metric in metrics.REGISTRY._collector_to_names
    ]
    assert table("Metrics") == described


def _defaults(model):
    if dataclasses.is_dataclass(model):
        return {field.name: field.default for field in dataclasses.fields(model)}
    return {
        name: dataclasses.MISSING if field.is_required() else field.default
        for name, field in model.model_fields.items()
    }


def _default(value):
    if value is dataclasses.MISSING:
        return "required"
    if value in (None, "", ()):
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and value:
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_setting_is_documented():
    described = [
        [settings.variable(name), _default(value)]
        for model in (
            router_settings.RouterSettings,
            sidecar_settings.SidecarSettings,
            agent_settings.AgentSettings,
            controller_settings.ControllerSettings,
        )
        for name, value in _defaults(model).items()
    ]
    rows = [row for row in table("Settings") if row[0].startswith(settings.PREFIX)]
    assert [row[:2] for row in rows] == described
    assert [row[0] for row in rows if not row[2]] == []


def test_every_route_is_documented():
    served = [[method, re.sub(r":[^}]*}", "}", path), door] for method, path, door, _ in routes.documented()]
    assert [row[:3] for row in table("HTTP")] == served


def test_every_command_is_documented():
    offered = set(typer.main.get_command(cli.app).commands)
    assert {row[0].split()[1] for row in table("Commands")} == offered


def test_what_the_readme_points_at_exists():
    named = [
        path
        for row in table("Where is …?")
        for path in re.findall(r"[a-z][\w./-]+", row[1])
        if "/" in path or "." in path
    ]
    named += re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(named) > 15
    paths = [name for name in named if name != "tool.importlinter"]
    assert [name for name in paths if not (ROOT / name).exists()] == []
