"""Outbox of one decision step: its posts, in order."""

from collections.abc import Iterable

from protocol.messages import Message
from protocol.messages.addresses import Post


class Outbox:
    """Posts of a step. Owned by one state, which empties it at the end of each."""

    def __init__(self) -> None:
        self._posts: list[Post] = []

    def post(self, to: str, message: Message) -> None:
        self._posts.append(Post(to=to, message=message))

    def extend(self, posts: Iterable[Post]) -> None:
        self._posts.extend(posts)

    def take(self) -> list[Post]:
        posts, self._posts = self._posts, []
        return posts
