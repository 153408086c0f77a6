"""The fair line: nobody is lost, nobody starves, order within a token is kept."""

from hypothesis import given
from hypothesis import strategies as st

from browserpool.model.names import TokenName
from browserpool.router import line

TOKENS = [TokenName(name) for name in "abcd"]
joins = st.lists(st.sampled_from(TOKENS), max_size=60)


def take(of: line.Line[int]) -> tuple[TokenName, int] | None:
    """Serve the next."""
    found = of.first()
    if found is not None:
        of.served(*found)
    return found


def drained(of: line.Line[int]) -> list[tuple[TokenName, int]]:
    return list(iter(lambda: take(of), None))


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
        take(queue)
    queue.join(TokenName("lone"), -1)
    served = drained(queue)
    assert [number for _, number in served[:2]].count(-1) == 1


@given(joins, st.lists(st.one_of(st.sampled_from(["take", "aside", "back"]), st.integers(0, 59)), max_size=80))
def test_serving_stepping_aside_and_leaving_in_any_order_loses_nobody(
    tokens: list[TokenName], steps: list[str | int]
) -> None:
    queue = filled(tokens)
    standing = dict(enumerate(tokens))
    aside: list[int] = []
    for step in steps:
        if step == "take":
            got = take(queue)
            assert (got is None) == (set(standing) <= set(aside))
            if got is not None:
                assert standing.pop(got[1]) == got[0]
                assert got[1] not in aside
        elif step == "aside":
            if (got := queue.first()) is not None:
                queue.step_aside(got[1])
                aside.append(got[1])
        elif step == "back":
            if aside:
                queue.come_back(aside.pop())
        else:
            assert isinstance(step, int)
            number, token = step, tokens[step] if step < len(tokens) else TokenName("nobody")
            assert queue.leave(token, number) == (number in standing)
            standing.pop(number, None)
        aside = [number for number in aside if number in standing]
        assert len(queue) == len(standing)
        assert sorted(queue) == sorted(standing)
    for number in aside:
        queue.come_back(number)
    assert sorted(number for _, number in drained(queue)) == sorted(standing)


@given(joins, st.integers(0, 59))
def test_who_was_aside_while_nobody_was_served_is_served_as_if_he_had_not_been(
    tokens: list[TokenName], number: int
) -> None:
    queue = filled(tokens)
    if number < len(tokens):
        queue.step_aside(number)
        assert queue.first() is None or queue.first() != (tokens[number], number)
        queue.come_back(number)
    assert drained(queue) == drained(filled(tokens))


def test_who_was_aside_is_the_next_again_whoever_was_served_meanwhile() -> None:
    queue = filled([TOKENS[0], TOKENS[0], TOKENS[1], TOKENS[1]])
    queue.step_aside(0)
    assert [take(queue), take(queue)] == [(TOKENS[0], 1), (TOKENS[1], 2)]
    queue.come_back(0)
    assert drained(queue) == [(TOKENS[0], 0), (TOKENS[1], 3)]
