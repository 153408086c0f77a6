"""From Chromium's flat list of accessibility nodes to a tree."""

import pytest

from browserpool.agent.actions import axtree


def node(number, role, name="", *, children=(), parent=None, ignored=False, **states):
    made = {
        "nodeId": str(number),
        "role": {"value": role},
        "name": {"value": name},
        "ignored": ignored,
        "backendDOMNodeId": number,
        "childIds": [str(child) for child in children],
        "properties": [{"name": key, "value": {"value": value}} for key, value in states.items()],
    }
    return made | ({} if parent is None else {"parentId": str(parent)})


def tree(*nodes, only_interesting=True, root=None):
    return axtree.build(nodes, only_interesting=only_interesting, root=root)


def test_nothing():
    assert tree() is None


def test_a_page_is_there_however_dull():
    assert tree(node(1, "RootWebArea")) == {"role": "RootWebArea"}


def test_a_page_that_can_be_focused_and_has_a_title_is_no_button():
    found = tree(node(1, "RootWebArea", "Title", children=[2], focusable=True), node(2, "StaticText", "a", parent=1))
    assert found == {"role": "RootWebArea", "name": "Title", "children": [{"role": "StaticText", "name": "a"}]}


def test_children_take_the_place_of_a_parent_that_says_nothing():
    found = tree(
        node(1, "RootWebArea", children=[2]),
        node(2, "generic", parent=1, children=[3, 4]),
        node(3, "StaticText", "a", parent=2),
        node(4, "none", parent=2, ignored=True, children=[5]),
        node(5, "StaticText", "b", parent=4),
    )
    assert found == {
        "role": "RootWebArea",
        "children": [{"role": "StaticText", "name": "a"}, {"role": "StaticText", "name": "b"}],
    }


def test_a_button_says_its_text_itself():
    found = tree(
        node(1, "RootWebArea", children=[2]),
        node(2, "button", "Go", parent=1, children=[3], focusable=True),
        node(3, "StaticText", "Go", parent=2),
    )
    assert found["children"] == [{"role": "button", "name": "Go"}]


def test_what_can_be_focused_stays_inside_a_heading():
    found = tree(
        node(1, "RootWebArea", children=[2]),
        node(2, "heading", "News", parent=1, children=[3], level=1),
        node(3, "link", "News", parent=2, focusable=True),
    )
    assert found["children"] == [{"role": "link", "name": "News"}]


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ({"checked": "true"}, {"checked": True}),
        ({"checked": "mixed"}, {"checked": "mixed"}),
        ({"checked": "false"}, {}),
        ({"disabled": False}, {}),
        ({"hasPopup": "menu"}, {"haspopup": "menu"}),
        ({"level": 0}, {"level": 0}),
        ({"settable": True}, {}),
    ],
)
def test_states(states, shown):
    found = tree(node(1, "RootWebArea", children=[2]), node(2, "checkbox", "c", parent=1, **states))
    assert found["children"] == [{"role": "checkbox", "name": "c"} | shown]


def test_a_root_of_no_interest_is_none_even_if_something_inside_is():
    nodes = (
        node(1, "RootWebArea", children=[2]),
        node(2, "generic", parent=1, children=[3]),
        node(3, "button", "Go", parent=2, focusable=True),
    )
    assert tree(*nodes, root=2) is None
    assert tree(*nodes, root=3) == {"role": "button", "name": "Go"}
    assert tree(*nodes, root=9) is None


def test_a_root_of_no_interest_is_not_taken_for_its_like_inside():
    nodes = (
        node(1, "RootWebArea", children=[2]),
        node(2, "generic", parent=1, children=[3]),
        node(3, "generic", "inside", parent=2, focusable=True),
    )
    assert tree(*nodes, root=2) is None


def test_a_circle_ends():
    assert tree(node(1, "RootWebArea", children=[2]), node(2, "button", "b", parent=1, children=[1])) is not None


def test_what_lies_too_deep_stands_side_by_side():
    chain = [node(number, "list", parent=number - 1 or None, children=[number + 1]) for number in range(1, 3000)]
    found = tree(
        node(0, "RootWebArea", children=[1]),
        *[{**one, "parentId": "0"} if one["nodeId"] == "1" else one for one in chain],
        only_interesting=False,
    )
    depth, at = 0, found
    while at.get("children"):
        depth, at = depth + 1, at["children"][0]
    assert depth == axtree.MOST_LEVELS
