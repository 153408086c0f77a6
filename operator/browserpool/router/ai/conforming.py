"""Whether a value conforms to a JSON Schema. Pure, and bounded: both come from strangers, and a few lines of them could ask for years.

Three things are not as the library has them. Patterns are matched by RE2, in linear time; one that RE2 has no way to match (it looks ahead)
is not checked. References reach no further than the schema itself: nothing is fetched. Each keyword that is looked at counts, and there
is a most.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
import re2

from browserpool.model import errors
from browserpool.model.wire import complaints

MOST_STEPS: Final = 100_000
"""Keywords looked at, for one value: a second or two."""
MAX_DEPTH: Final = 100
"""Levels of a schema."""
MAX_PARTS: Final = 1_000
"""Objects and lists of a schema: the library takes about a millisecond for each to see whether it is one."""

Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class _TooMuch(Exception):
    """The bound is reached."""


def refuse_unfit(schema: Mapping[str, Any]) -> None:
    """Say what cannot be checked, before anything is done for it.

    Raises:
        errors.InvalidRequest: it is no JSON Schema, or one that reaches out of itself.
    """
    import jsonschema

    if _walk(schema, depth=0) > MAX_PARTS:
        raise errors.InvalidRequest(
            f"response_format's schema has more than {MAX_PARTS} objects and lists; ask for less at a time."
        )
    dialect = _dialect(schema)
    try:
        dialect.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = complaints.path(error.absolute_path)
        raise errors.InvalidRequest(
            f"response_format is no JSON Schema{f' at {where}' if where else ''}: {error.message[:200]}"
        ) from error
    except RecursionError as error:
        raise errors.InvalidRequest("response_format's schema is too deep.") from error


def complaint(value: object, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with ``value`` first, in a sentence's part; ``None``: it conforms. May take a second or two: for a thread.

    Raises:
        errors.InvalidRequest: the schema cannot be decided: it refers to what is not there, or to itself without end.
    """
    import referencing
    import referencing.exceptions

    own = {name: part for name, part in schema.items() if name != "$schema"}
    try:
        validator = _bounded(_dialect(schema), most=MOST_STEPS)(own, registry=referencing.Registry())
        problem = next(validator.iter_errors(value), None)
    except referencing.exceptions.Unresolvable as error:
        raise errors.InvalidRequest(
            f"response_format's schema refers to {error.ref[:100]!r}, which is not in it."
        ) from error
    except RecursionError as error:
        raise errors.InvalidRequest("response_format's schema refers to itself without end.") from error
    except _TooMuch as error:
        raise errors.InvalidRequest(
            f"response_format's schema takes more than {MOST_STEPS} steps to check; make it simpler."
        ) from error
    if problem is None:
        return None
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem.absolute_path)
    return f"{where.lstrip('.') or 'the value'}: {problem.message[:200]}"


def _dialect(schema: Mapping[str, Any]) -> Any:
    from jsonschema import validators

    return validators.validator_for(schema, default=validators.Draft202012Validator)


def _walk(part: object, *, depth: int) -> int:
    """Looks at every part of a schema; answers how many objects and lists there are."""
    if depth > MAX_DEPTH:
        raise errors.InvalidRequest("response_format's schema is too deep.")
    if isinstance(part, list):
        return 1 + sum(_walk(item, depth=depth + 1) for item in part)
    if isinstance(part, dict):
        for word in ("$ref", "$dynamicRef", "$recursiveRef"):
            target = part.get(word)
            if isinstance(target, str) and not target.startswith("#"):
                raise errors.InvalidRequest(
                    f"response_format's schema refers to {target[:100]!r}; a schema may refer to its own parts only, like #/$defs/name."
                )
        if depth and isinstance(part.get("$schema"), str):
            raise errors.InvalidRequest(
                "response_format's schema names another dialect inside; $schema stands at its top."
            )
        if "unevaluatedProperties" in part and isinstance(part.get("patternProperties"), dict):
            raise errors.InvalidRequest(
                "response_format's schema has unevaluatedProperties beside patternProperties, which is not checked here."
            )
        return 1 + sum(_walk(item, depth=depth + 1) for item in part.values())
    return 0


def _bounded(dialect: Any, *, most: int) -> Any:
    """The dialect with its keywords counted, and with ours in place of those that could take long."""
    from jsonschema import validators

    left = most

    def counted(check: Keyword) -> Keyword:
        def look(validator: Any, argument: Any, instance: Any, schema: Any) -> Iterator[Any]:
            nonlocal left
            left -= 1
            if left < 0:
                raise _TooMuch
            yield from check(validator, argument, instance, schema) or ()

        return look

    ours = {name: check for name, check in _OURS.items() if name in dialect.VALIDATORS}
    return validators.extend(dialect, {name: counted(check) for name, check in {**dialect.VALIDATORS, **ours}.items()})


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError):
        return None


def _matches(pattern: str, text: str) -> bool:
    """Whether it is found in the text. A pattern that RE2 does not know is taken to be."""
    compiled = _compiled(pattern)
    try:
        return compiled is None or compiled.search(text) is not None
    except UnicodeEncodeError:
        return True


def _pattern(validator: Any, pattern: Any, instance: Any, _: Any) -> Iterator[Any]:
    from jsonschema import exceptions

    if validator.is_type(instance, "string") and not _matches(pattern, instance):
        yield exceptions.ValidationError(f"{instance[:60]!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _: Any) -> Iterator[Any]:
    if validator.is_type(instance, "object"):
        for pattern, subschema in patterns.items():
            for name, item in instance.items():
                if _compiled(pattern) is not None and _matches(pattern, name):
                    yield from validator.descend(item, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import exceptions

    if not validator.is_type(instance, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in instance:
        if name in known or any(_matches(pattern, name) for pattern in patterns):
            continue
        if validator.is_type(allowed, "object"):
            yield from validator.descend(instance[name], allowed, path=name)
        elif not allowed:
            yield exceptions.ValidationError(f"{name[:60]!r} is not one of its properties")


def _unique_items(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[Any]:
    from jsonschema import exceptions

    if wanted and validator.is_type(instance, "array"):
        distinct = {orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in instance}
        if len(distinct) < len(instance):
            yield exceptions.ValidationError("has the same item twice")


_OURS: Final[Mapping[str, Keyword]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
