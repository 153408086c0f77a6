"""From Chromium's flat list of accessibility nodes to the tree that goes back: pure.

Without a wish for everything, a node stays only if a person with a screen reader would meet it: what can be focused, what is a control, and
what has a name and nothing of interest inside. The children of a node that does not stay take its place.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Node = Mapping[str, Any]
"""CDP's ``Accessibility.AXNode``."""
Tree = dict[str, Any]

MOST_LEVELS: Final = 100
"""The writer of JSON goes 254 levels deep, and a node takes two; what lies deeper stands side by side at this one."""

_CONTROLS: Final = frozenset(
    {
        "button", "checkbox", "ColorWell", "combobox", "DisclosureTriangle", "listbox", "menu", "menubar", "menuitem",
        "menuitemcheckbox", "menuitemradio", "radio", "scrollbar", "searchbox", "slider", "spinbutton", "switch", "tab",
        "textbox", "tree", "treeitem",
    }
)  # fmt: skip
_TEXTS: Final = frozenset({"LineBreak", "text", "InlineTextBox", "StaticText"})
_WHOLES: Final = frozenset(
    {
        "doc-cover",
        "graphics-symbol",
        "img",
        "image",
        "Meter",
        "meter",
        "scrollbar",
        "slider",
        "separator",
        "progressbar",
    }
)
"""Roles whose inside is no business of a reader's."""
_WORDS: Final = ("name", "value", "description")
_STATES: Final = frozenset(
    {
        "keyshortcuts", "roledescription", "valuetext", "disabled", "expanded", "focused", "modal", "multiline",
        "multiselectable", "readonly", "required", "selected", "checked", "pressed", "level", "valuemin", "valuemax",
        "autocomplete", "haspopup", "invalid", "orientation",
    }
)  # fmt: skip
_RENAMED: Final = {"hasPopup": "haspopup"}


def build(nodes: Iterable[Node], *, only_interesting: bool, root: int | None = None) -> Tree | None:
    """The tree below the document, or below the element whose ``backendDOMNodeId`` is ``root``; None if nothing of it is of interest."""
    by_id = {node["nodeId"]: node for node in nodes}
    top = next((node for node in by_id.values() if _is_top(node, root)), None)
    if top is None:
        return None
    whole = _ordered(top, by_id)
    focusable = _holding_focusable(whole, by_id)
    made: dict[str, list[Tree]] = {}
    stays = False
    # Children come before their parents this way round, however deep it goes.
    for node, depth, inside_control in reversed(whole):
        children = [tree for child in _children(node, by_id) for tree in made.pop(child["nodeId"], ())]
        stays = node is top and root is None
        stays = stays or (
            _is_interesting(node, inside_control=inside_control, focusable=focusable)
            if only_interesting
            else not _says_nothing(node)
        )
        # The document has a name and can be focused, like a button; what stands in it is not its label.
        if only_interesting and stays and not _is_top(node, None) and _is_leaf(node, focusable):
            children = []
        if stays and depth < MOST_LEVELS:
            made[node["nodeId"]] = [_described(node) | ({"children": children} if children else {})]
        else:
            made[node["nodeId"]] = ([_described(node)] if stays else []) + children
    # If the top itself does not stay, what is there are only its insides.
    return made[top["nodeId"]][0] if stays else None


def _is_top(node: Node, root: int | None) -> bool:
    return "parentId" not in node if root is None else node.get("backendDOMNodeId") == root


def _children(node: Node, by_id: Mapping[str, Node]) -> list[Node]:
    return [by_id[child] for child in node.get("childIds", ()) if child in by_id]


def _ordered(top: Node, by_id: Mapping[str, Node]) -> list[tuple[Node, int, bool]]:
    """Every node below ``top`` before its children, with its depth and whether a control is around it."""
    found: list[tuple[Node, int, bool]] = []
    waiting: list[tuple[Node, int, bool]] = [(top, 0, False)]
    seen = {top["nodeId"]}
    while waiting:
        node, depth, inside = waiting.pop()
        found.append((node, depth, inside))
        around = inside or _text(node, "role") in _CONTROLS
        for child in reversed(_children(node, by_id)):
            if child["nodeId"] not in seen:
                seen.add(child["nodeId"])
                waiting.append((child, depth + 1, around))
    return found


def _holding_focusable(whole: list[tuple[Node, int, bool]], by_id: Mapping[str, Node]) -> frozenset[str]:
    """The nodes with something inside that can be focused."""
    holding: set[str] = set()
    for node, _, _ in reversed(whole):
        if any(child["nodeId"] in holding or _states(child).get("focusable") for child in _children(node, by_id)):
            holding.add(node["nodeId"])
    return frozenset(holding)


def _is_interesting(node: Node, *, inside_control: bool, focusable: frozenset[str]) -> bool:
    states = _states(node)
    if node.get("ignored") or states.get("hidden"):
        return False
    if states.get("focusable") or states.get("editable") == "richtext" or _text(node, "role") in _CONTROLS:
        return True
    return not inside_control and _is_leaf(node, focusable) and bool(_text(node, "name"))


def _is_leaf(node: Node, focusable: frozenset[str]) -> bool:
    role, states = _text(node, "role"), _states(node)
    if not node.get("childIds") or role in _TEXTS or role in _WHOLES or states.get("editable") == "plaintext":
        return True
    if node["nodeId"] in focusable:
        return False
    return bool(_text(node, "name")) and (bool(states.get("focusable")) or role == "heading")


def _says_nothing(node: Node) -> bool:
    """What assistive technology does not see, and the lines of a text, which its ``StaticText`` has whole."""
    return bool(node.get("ignored")) or _text(node, "role") == "InlineTextBox"


def _text(node: Node, field: str) -> Any:
    return node.get(field, {}).get("value")


def _states(node: Node) -> dict[str, Any]:
    return {entry["name"]: entry["value"].get("value") for entry in node.get("properties", ())}


def _described(node: Node) -> Tree:
    tree: Tree = {"role": _text(node, "role") or "none"}
    tree |= {word: value for word in _WORDS if (value := _text(node, word)) not in (None, "")}
    for name, value in _states(node).items():
        known = _RENAMED.get(name, name)
        if known in _STATES and _says_something(value) and not (known == "focused" and tree["role"] == "RootWebArea"):
            tree[known] = True if value == "true" else value
    return tree


def _says_something(value: Any) -> bool:
    return value is not None and value is not False and value not in ("", "false")
