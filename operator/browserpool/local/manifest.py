"""Pools from a file of YAML or JSON, one document or several. A complaint names the file, the line and the field."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import pydantic
import yaml

from browserpool.local import problems
from browserpool.model.pool import API_VERSION, KIND, BrowserPool


class InvalidManifest(problems.Problem):
    """The file cannot be used; one line for each thing that is wrong with it."""


def read(path: pathlib.Path) -> tuple[BrowserPool, ...]:
    """The pools that ``path`` describes, in its order.

    Raises:
        InvalidManifest: no such file, not YAML or JSON, or not a manifest.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidManifest(
            f"{path}: there is no such file. Name a manifest with -f, or copy one from examples/."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidManifest(f"{path}: cannot be read: {error}") from None
    return parse(text, source=str(path), is_json=path.suffix == ".json")


def parse(text: str, *, source: str, is_json: bool = False) -> tuple[BrowserPool, ...]:
    """The pools in ``text``; ``source`` names it in complaints.

    Raises:
        InvalidManifest: as ``read`` does.
    """
    documents = _json_documents(text, source) if is_json else _yaml_documents(text, source)
    if not documents:
        raise InvalidManifest(
            f"{source}: is empty. A manifest starts with `apiVersion: {API_VERSION}` and `kind: {KIND}`."
        )
    pools = tuple(_pool(value, node, source) for value, node in documents)
    _refuse_doubles(pools, source)
    return pools


def _refuse_doubles(pools: Iterable[BrowserPool], source: str) -> None:
    """Two pools of one name, or two whose browsers would bear the same names (a-b in c, and a in b-c)."""
    owners: dict[str, str] = {}
    for pool in pools:
        if pool.name in owners.values():
            raise InvalidManifest(f"{source}: pool {pool.name} stands there twice; each name may stand once.")
        for region in pool.spec.regions:
            prefix = f"{pool.name}-{region.name}"
            if prefix in owners:
                raise InvalidManifest(
                    f"{source}: pools {owners[prefix]} and {pool.name} would both name their browsers {prefix}-0; rename one."
                )
            owners[prefix] = pool.name


def _json_documents(text: str, source: str) -> list[tuple[Any, yaml.Node | None]]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidManifest(f"{source}:{error.lineno}: is not JSON: {error.msg}") from None
    return [(document, None) for document in (value if isinstance(value, list) else [value])]


def _yaml_documents(text: str, source: str) -> list[tuple[Any, yaml.Node | None]]:
    loader = yaml.SafeLoader(text)
    documents: list[tuple[Any, yaml.Node | None]] = []
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and (value := loader.construct_document(node)) is not None:
                documents.append((value, node))
    except yaml.MarkedYAMLError as error:
        where = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidManifest(f"{source}{where}: is not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidManifest(f"{source}: is not YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()
    return documents


def _pool(value: object, node: yaml.Node | None, source: str) -> BrowserPool:
    if not isinstance(value, dict):
        raise InvalidManifest(f"{_at(source, node)}: a manifest is a mapping, and this is {type(value).__name__}.")
    if (kind := value.get("kind", KIND)) != KIND:
        raise InvalidManifest(
            f"{_at(source, _found(node, ('kind',)))}: kind is {kind}; this file may hold {KIND} only."
        )
    try:
        return BrowserPool.model_validate(value)
    except pydantic.ValidationError as error:
        raise InvalidManifest("\n".join(_complaints(error, node, source))) from None


def _complaints(error: pydantic.ValidationError, node: yaml.Node | None, source: str) -> Iterable[str]:
    for problem in error.errors(include_url=False):
        path = problem["loc"]
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "there is no such field"
        elif not isinstance(problem["input"], dict | list) and problem["type"] != "missing":
            message += f" (it is {problem['input']!r})"
        field = ".".join(str(step) for step in path)
        yield f"{_at(source, _found(node, path))}: {field + ': ' if field else ''}{message}"


def _at(source: str, node: yaml.Node | None) -> str:
    return source if node is None else f"{source}:{node.start_mark.line + 1}"


def _found(node: yaml.Node | None, path: Sequence[object]) -> yaml.Node | None:
    """The node that ``path`` leads to, or the last one on the way that exists."""
    for step in path:
        below = _child(node, step)
        if below is None:
            return node
        node = below
    return node


def _child(node: yaml.Node | None, step: object) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: yaml.Node = node.value[step]
        return found
    return None
