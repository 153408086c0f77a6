"""Values held to JSON Schemas: as the standard has it, and never for long."""

import time

import pytest
from jsonschema import validators

from browserpool.model import errors
from browserpool.router.ai import conforming

SOON = 10.0
"""Seconds of work, on a slow machine; without a bound the worst of these would take years."""

CASES = [
    ({"type": "object", "required": ["a"]}, {"a": 1}, None),
    ({"type": "object", "required": ["a"]}, {}, "'a' is a required property"),
    (
        {"properties": {"a": {"type": "array", "items": {"type": "integer"}}}},
        {"a": [1, "x"]},
        "a[1]: 'x' is not of type 'integer'",
    ),
    (
        {"$defs": {"n": {"type": "number"}}, "additionalProperties": {"$ref": "#/$defs/n"}},
        {"a": "x"},
        "a: 'x' is not of type",
    ),
    ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1, "b": 2}, "'b' is not one of its properties"),
    ({"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False}, {"x1": "a"}, None),
    ({"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False}, {"x1": 1}, "x1: 1 is not"),
    ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"y": 1}, "'y' is not one of"),
    ({"items": {"pattern": "^[a-z]+$"}}, ["ab", "AB"], "[1]: 'AB' does not match"),
    ({"items": {"pattern": "^(?!no)"}}, ["no"], None),  # looks ahead: not checked
    ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], "same item twice"),
    ({"uniqueItems": True}, [1, "1", [1], {"a": 1}], None),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}, [1], "[0]: 1 is not"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, None),
    ({"enum": ["a", None]}, "b", "is not one of"),
    ({"const": {"a": [1]}}, {"a": [1]}, None),
    (
        {"$ref": "#/$defs/t", "$defs": {"t": {"properties": {"kids": {"items": {"$ref": "#/$defs/t"}}}}}},
        {"kids": [{"kids": []}]},
        None,
    ),
    ({}, [], None),
]


@pytest.mark.parametrize(("schema", "value", "wrong"), CASES)
def test_a_value_conforms_or_is_told_where_not(schema, value, wrong):
    conforming.refuse_unfit(schema)
    said = conforming.complaint(value, schema)
    assert (said is None) if wrong is None else (wrong in said), said


@pytest.mark.parametrize(
    ("schema", "value"), [(schema, value) for schema, value, _ in CASES if "?!" not in str(schema)]
)
def test_it_agrees_with_the_library(schema, value):
    plain = validators.validator_for(schema, default=validators.Draft202012Validator)(schema)
    assert (conforming.complaint(value, schema) is None) == plain.is_valid(value)


def doubled(depth):
    """A schema of a few lines that is looked at 2^depth times."""
    parts = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return {"$ref": "#/$defs/d0", "$defs": {**parts, f"d{depth}": {"type": "object"}}}


def nested(depth):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


EVIL = {
    "doubling": (doubled(40), {}, "steps"),
    "itself": ({"$ref": "#"}, {}, "itself without end"),
    "a circle": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {},
        "itself without end",
    ),
    "nowhere": ({"$ref": "#/$defs/none"}, {}, "not in it"),
    "a long list": ({"items": {"anyOf": [{"const": n} for n in range(900)]}}, [899] * 900, "steps"),
}


@pytest.mark.parametrize(("schema", "value", "why"), EVIL.values(), ids=EVIL)
def test_a_schema_that_would_never_end_is_refused_in_time(schema, value, why):
    began = time.process_time()
    conforming.refuse_unfit(schema)
    with pytest.raises(errors.InvalidRequest, match=why):
        conforming.complaint(value, schema)
    assert time.process_time() - began < SOON


SLOW = {
    "a pattern": ({"pattern": "^(a+)+$"}, "a" * 5000 + "!"),
    "names": ({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 5000 + "!": 1}),
    "the same": ({"uniqueItems": True}, [{"a": [n, {"b": n}]} for n in range(20_000)]),
}


@pytest.mark.parametrize(("schema", "value"), SLOW.values(), ids=SLOW)
def test_what_takes_a_backtracking_matcher_years_takes_no_time(schema, value):
    began = time.process_time()
    conforming.complaint(value, schema)
    assert time.process_time() - began < SOON


UNFIT = {
    "another server's": ({"properties": {"a": {"$ref": "https://example.com/schema"}}}, "its own parts only"),
    "a file's": ({"$ref": "file:///etc/passwd"}, "its own parts only"),
    "too deep": (nested(200), "too deep"),
    "another dialect inside": ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "another dialect"),
    "parts without number": ({"allOf": [{}] * 21_000}, "more than 1000"),
    "no type": ({"type": "fruit"}, "no JSON Schema at type"),
    "no object": ({"properties": []}, "no JSON Schema at properties"),
    "both": ({"patternProperties": {"(a+)+$": {}}, "unevaluatedProperties": False}, "unevaluatedProperties"),
}


@pytest.mark.parametrize(("schema", "why"), UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_checked_is_refused_before_anything_is_done(schema, why):
    with pytest.raises(errors.InvalidRequest, match=why):
        conforming.refuse_unfit(schema)
