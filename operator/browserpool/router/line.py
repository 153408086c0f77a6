"""Who is next: a fair line, pure. Round robin between tokens, first come first served within one.

So a token with a thousand requests in the line delays another token's single request by one place, not by a thousand.
"""

import collections
from typing import Generic, TypeVar

from browserpool.model.names import TokenName

T = TypeVar("T")


class Line(Generic[T]):
    """Items stand in it at most once. Every operation but ``leave`` takes constant time."""

    def __init__(self) -> None:
        # The first token is the next to be served; one that was served goes to the end. No token has an empty queue.
        self._queues: collections.OrderedDict[TokenName, collections.deque[T]] = collections.OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def join(self, token: TokenName, item: T) -> None:
        """Stand at the end of the token's own queue; a token that is new to the line is served last of all tokens."""
        self._queues.setdefault(token, collections.deque()).append(item)
        self._length += 1

    def take(self) -> tuple[TokenName, T] | None:
        """The next, taken out of the line."""
        if not self._queues:
            return None
        token, queue = next(iter(self._queues.items()))
        item = queue.popleft()
        self._length -= 1
        if queue:
            self._queues.move_to_end(token)
        else:
            del self._queues[token]
        return token, item

    def put_back(self, token: TokenName, item: T) -> None:
        """Undo ``take``: the item was not served, and is the next again."""
        self._queues.setdefault(token, collections.deque()).appendleft(item)
        self._queues.move_to_end(token, last=False)
        self._length += 1

    def leave(self, token: TokenName, item: T) -> bool:
        """Give up waiting; false if the item does not stand in the line (it was taken)."""
        queue = self._queues.get(token)
        if queue is None or item not in queue:
            return False
        queue.remove(item)
        self._length -= 1
        if not queue:
            del self._queues[token]
        return True
