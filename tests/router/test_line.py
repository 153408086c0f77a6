"""The fair line: nobody is lost, nobody starves, order within a token is kept."""

from hypothesis import given
from hypothesis import strategies as st

from browserpool.model.names import TokenName
from browserpool.router import line

TOKENS = [TokenName(name) for name in "abcd"]
joins = st.lists(st.sampled_from(TOKENS), max_size=60)


def drained(of: line.Line[int]) -> list[tuple[TokenName, int]]:
    return list(iter(of.take, None))


def filled(tokens: list[TokenName]) -> line.Line[int]:
    made: line.Line[int] = line.Line()
    for number, token in enumerate(tokens):
        made.join(token, number)
    return made


@given(joins)
def test_all_who_joined_are_served_once_and_each_token_in_its_own_order(tokens: list[TokenName]) -> None:
    served = drained(filled(tokens))
    assert sorted(number for _, number in served) == list(range(len(tokens)))
    for token in TOKENS:
        own = [number for whose, number in served if whose == token]
        assert own == sorted(own)


@given(joins)
def test_no_token_is_served_twice_while_another_waits(tokens: list[TokenName]) -> None:
    served = drained(filled(tokens))
    waiting = {token: tokens.count(token) for token in TOKENS}
    for index, (token, _) in enumerate(served):
        waiting[token] -= 1
        others = sum(1 for other, left in waiting.items() if other != token and left)
        following = [whose for whose, _ in served[index + 1 : index + 1 + others]]
        assert token not in following
        assert len(set(following)) == others


@given(st.integers(1, 50), st.integers(1, 20))
def test_a_late_lone_request_passes_a_heavy_users_backlog(backlog: int, before: int) -> None:
    queue = filled([TokenName("heavy")] * backlog)
    for _ in range(min(before, backlog)):
        queue.take()
    queue.join(TokenName("lone"), -1)
    served = drained(queue)
    assert [number for _, number in served[:2]].count(-1) == 1


@given(joins, st.lists(st.one_of(st.just("take"), st.just("back"), st.integers(0, 59)), max_size=80))
def test_taking_putting_back_and_leaving_in_any_order_loses_nobody(
    tokens: list[TokenName], steps: list[str | int]
) -> None:
    queue = filled(tokens)
    standing = dict(enumerate(tokens))
    taken: list[tuple[TokenName, int]] = []
    for step in steps:
        if step == "take":
            got = queue.take()
            assert (got is None) == (not standing)
            if got is not None:
                assert standing.pop(got[1]) == got[0]
                taken.append(got)
        elif step == "back":
            if taken:
                token, number = taken.pop()
                queue.put_back(token, number)
                standing[number] = token
        else:
            assert isinstance(step, int)
            number, token = step, tokens[step] if step < len(tokens) else TokenName("nobody")
            assert queue.leave(token, number) == (number in standing)
            standing.pop(number, None)
        assert len(queue) == len(standing)
    assert sorted(number for _, number in drained(queue)) == sorted(standing)


def test_what_is_put_back_is_the_next_again() -> None:
    queue = filled([TOKENS[0], TOKENS[0], TOKENS[1]])
    first = queue.take()
    assert first == (TOKENS[0], 0)
    queue.put_back(*first)
    assert queue.take() == first
