"""Who is next: a fair line, pure. Round robin between tokens, first come first served within one.

So a token with a thousand requests in the line delays another token's single request by one place, not by a thousand.
"""

import collections
from collections.abc import Iterator
from typing import Generic, TypeVar

from browserpool.model.names import TokenName

T = TypeVar("T")


class Line(Generic[T]):
    """Items stand in it at most once. Every operation but ``leave`` takes constant time, as long as few are aside."""

    def __init__(self) -> None:
        # The first token is the next to be served; one that was served goes to the end. No token has an empty queue.
        self._queues: collections.OrderedDict[TokenName, collections.deque[T]] = collections.OrderedDict()
        self._aside: set[T] = set()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """All who stand in it, in no order."""
        for queue in self._queues.values():
            yield from queue

    def join(self, token: TokenName, item: T) -> None:
        """Stand at the end of the token's own queue; a token that is new to the line is served last of all tokens."""
        self._queues.setdefault(token, collections.deque()).append(item)
        self._length += 1

    def first(self) -> tuple[TokenName, T] | None:
        """The next of those who are not aside; it stays where it is."""
        for token, queue in self._queues.items():
            for item in queue:
                if item not in self._aside:
                    return token, item
        return None

    def served(self, token: TokenName, item: T) -> None:
        """It had its turn: it leaves, and its token's next one comes after all other tokens'."""
        if self.leave(token, item) and token in self._queues:
            self._queues.move_to_end(token)

    def step_aside(self, item: T) -> None:
        """It keeps its place, but is not the next, until it is back."""
        self._aside.add(item)

    def come_back(self, item: T) -> None:
        """Undo ``step_aside``."""
        self._aside.discard(item)

    def leave(self, token: TokenName, item: T) -> bool:
        """Give up waiting; false if the item does not stand in the line."""
        self._aside.discard(item)
        queue = self._queues.get(token)
        if queue is None or item not in queue:
            return False
        queue.remove(item)
        self._length -= 1
        if not queue:
            del self._queues[token]
        return True
