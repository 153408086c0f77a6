"""The transition table itself; tests/store compares the SQL with it."""

import pytest

from browserpool.model import states
from browserpool.model.states import BrowserState as S


def test_every_state_has_its_row():
    assert set(states.TRANSITIONS) == set(S)


@pytest.mark.parametrize(
    ("now", "then"), [(S.CLAIMED, S.READY), (S.DRAINING, S.READY), (S.GONE, S.READY), (S.STARTING, S.CLAIMED)]
)
def test_what_must_never_happen(now, then):
    assert not states.may_become(now, then)


def test_heartbeats_make_legal_changes_and_none_from_claimed():
    assert all(states.may_become(now, then) for now, then in states.MADE_BY_HEARTBEATS)
    assert S.CLAIMED not in {now for now, _ in states.MADE_BY_HEARTBEATS}


def test_every_state_leads_to_gone_and_back():
    def reachable(start):
        seen, todo = set(), [start]
        while todo:
            for then in states.TRANSITIONS[todo.pop()] - seen:
                seen.add(then)
                todo.append(then)
        return seen

    assert all(S.GONE in reachable(state) for state in S)
    assert S.READY in reachable(S.GONE)
