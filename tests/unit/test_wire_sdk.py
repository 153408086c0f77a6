"""Whatever the official SDK's types can say is accepted: its parameter types are walked, and a body is made of each."""

import inspect
import types
import typing

import orjson
import pytest
import typing_extensions
from cloudflare.types.browser_rendering import (
    accessibility_tree_create_params,
    content_create_params,
    json_create_params,
    link_create_params,
    markdown_create_params,
    pdf_create_params,
    scrape_create_params,
    screenshot_create_params,
    snapshot_create_params,
)

from browserpool.model.wire import actions

PARAMS = {
    "accessibilityTree": accessibility_tree_create_params,
    "content": content_create_params,
    "json": json_create_params,
    "links": link_create_params,
    "markdown": markdown_create_params,
    "pdf": pdf_create_params,
    "scrape": scrape_create_params,
    "screenshot": screenshot_create_params,
    "snapshot": snapshot_create_params,
}
# Not of the body: the account stands in the address.
ELSEWHERE = {"account_id"}
# Values that a type alone cannot tell from rubbish.
BY_NAME = {
    "url": "https://example.com/",
    "quality": 80,
    "scale": 1.0,
    "partitionKey": "https://example.com",
    "referrerPolicy": "origin",
    "pageRanges": "1-5, 8, 11-13",
    "sourcePort": 443,
    "model": "provider/family/name",
    "type": "json_schema",
}
LENGTHS = {"width", "height", "top", "right", "bottom", "left"}
# Pairs that exclude each other.
CONFLICTS = {"html": "url", "content": "url", "hidden": "visible", "clip": "fullPage", "selector": "fullPage"}


def wire_name(name, annotation):
    """The alias that the SDK sends for ``name``."""
    for extra in getattr(annotation, "__metadata__", ()):
        if getattr(extra, "alias", None):
            return extra.alias
    return name


def bare(annotation):
    """The type under ``Required`` and ``Annotated``."""
    while True:
        origin = typing.get_origin(annotation)
        if origin in (typing.Annotated, typing.Required, typing_extensions.Required):
            annotation = typing.get_args(annotation)[0]
        else:
            return annotation


def samples(name, annotation):
    """Values of the type, at least one for each alternative."""
    annotation = bare(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if typing_extensions.is_typeddict(annotation):
        yield from objects(annotation)
    elif origin is typing.Literal:
        yield from arguments
    elif origin in (typing.Union, types.UnionType):
        for each in arguments:
            yield from samples(name, each)
    elif origin is dict:
        yield {"X-Name": "value"}
    elif arguments:
        yield list(samples(name, arguments[0]))
    elif annotation is str and name in LENGTHS:
        yield "10cm"
    elif name in BY_NAME:
        yield BY_NAME[name]
    else:
        yield {str: "x", bool: True, float: 10.0, int: 10, type(None): None}[annotation]


def fields(typed_dict):
    """Name on the wire, type, whether it is required. (The class itself does not know what is: its annotations are text.)"""
    for name, annotation in typing_extensions.get_type_hints(typed_dict, include_extras=True).items():
        required = typing.get_origin(annotation) in (typing.Required, typing_extensions.Required)
        inner = typing.get_args(annotation)[0] if required else annotation
        if name not in ELSEWHERE:
            yield wire_name(name, inner), inner, required


def objects(typed_dict):
    """For each field, each of its values beside what is required."""
    known = list(fields(typed_dict))
    required = {name: next(iter(samples(name, annotation))) for name, annotation, needed in known if needed}
    for name, annotation, _ in known:
        for value in samples(name, annotation):
            made = {**required, name: value}
            for one, other in CONFLICTS.items():
                if name in (one, other) and {one, other} <= made.keys():
                    del made[other if name == one else one]
            if name == "quality":
                made["type"] = "jpeg"
            if "Tag" in typed_dict.__name__ and not {"url", "content"} & made.keys():
                made["content"] = "x"
            if any(each == "elements" for each, _, _ in known):
                # Optional in the SDK's type; the service itself requires it.
                made.setdefault("elements", [{"selector": "p"}])
            if any(each == "custom_ai" for each, _, _ in known):
                # As optional in the type; a model must be told something.
                made.setdefault("prompt", "x")
            if typed_dict.__name__.endswith("ResponseFormat"):
                made.setdefault("json_schema", {"type": "object"})
            if typed_dict.__name__.endswith("Cookie"):
                # Without one it belongs to the body's url, which html has not.
                made.setdefault("domain", "example.com")
            yield made


def bodies():
    for action, module in PARAMS.items():
        for variant in (module.Variant0, module.Variant1):
            for body in objects(variant):
                yield action, body


BODIES = list(bodies())


def test_the_walk_found_the_types():
    assert len(BODIES) > 300
    assert inspect.ismodule(content_create_params)
    sent = {name for action, body in BODIES if action == "screenshot" for name in body}
    accepted = {str(field.alias) for field in actions.ACTIONS["screenshot"].model_fields.values()}
    of_others = {"waitForEvent", "waitForFunction"}  # browserless's
    assert sent == accepted - {"None"} - of_others | {"gotoOptions"}


@pytest.mark.parametrize("action", sorted(PARAMS))
def test_every_body_that_the_sdk_can_send_is_accepted(action):
    for body in (body for each, body in BODIES if each == action):
        actions.parse(action, orjson.dumps(body))
