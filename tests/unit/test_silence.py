"""When a database that says nothing is given up at a stop."""

import pytest

from browserpool.model import silence

PATIENCE = 4.5


def gives_up(heard: silence.Heard, *, now: float, stopping: bool = True) -> bool:
    return silence.gives_up(heard, now=now, stopping=stopping, patience=PATIENCE)


def test_who_was_never_asked_is_not_silent() -> None:
    assert not gives_up(silence.Heard(), now=1000.0)


@pytest.mark.parametrize(("now", "given_up"), [(14.4, False), (14.5, True), (20.0, True)])
def test_it_is_given_up_after_a_statements_time_without_a_word(now: float, given_up: bool) -> None:
    heard = silence.unanswered(silence.Heard(), began=10.0)
    assert gives_up(heard, now=now) is given_up


def test_a_process_that_does_not_stop_gives_up_nothing() -> None:
    heard = silence.unanswered(silence.Heard(), began=10.0)
    assert not gives_up(heard, now=1000.0, stopping=False)


def test_a_statement_without_an_answer_says_nothing_of_the_time_in_which_others_had_one() -> None:
    heard = silence.unanswered(silence.Heard(answered_at=12.0), began=10.0)
    assert heard.silent_since == 12.0
    assert not gives_up(heard, now=14.5)


def test_of_several_without_an_answer_the_one_that_waited_longest_counts() -> None:
    heard = silence.Heard(answered_at=2.0)
    for began in (11.0, 10.0, 12.0):
        heard = silence.unanswered(heard, began=began)
    assert heard == silence.Heard(answered_at=2.0, silent_since=10.0)


def test_an_answer_ends_the_silence() -> None:
    silent = silence.unanswered(silence.Heard(), began=10.0)
    assert gives_up(silent, now=20.0)
    assert not gives_up(silence.Heard(answered_at=15.0), now=20.0)
