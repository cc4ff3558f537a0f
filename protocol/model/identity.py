"""Claim about a file's content: what kind of evidence there is that all its bytes are of one file, in numbers."""

from protocol.model.value import Value

KINDS = ("size", "attributes", "overlap", "frames", "pieces", "digest", "decoded")
"""Kinds of evidence, weakest first."""


def strength(kind: str) -> int:
    """Return the rank of a kind of evidence, the weakest 0."""
    return KINDS.index(kind)


class Claim(Value):
    """Claim about the content of one job's file.

    `kind`: one of `KINDS`, the strongest that holds for every byte.
    `checks_agreed`, `checks_disagreed`: overlap and spot checks, by their result.
    `groups`: groups of contributors without evidence between them; 1 where all are tied.
    `contributors`: sources whose bytes are stored.
    `excluded_share`: share of the file above which a difference of any contributor is excluded at 99 %; 1: none is.
    `excluded`: names of sources that were left out because of other content.
    """

    kind: str = "size"
    checks_agreed: int = 0
    checks_disagreed: int = 0
    groups: int = 0
    contributors: int = 0
    excluded_share: float = 1.0
    excluded: tuple[str, ...] = ()
