"""Claim about a file's content: what kind of evidence there is that all its bytes are of one file, in numbers."""

from typing import Any, Final

from protocol.model.printable import count_of, printable
from protocol.model.value import Value

KINDS = ("size", "attributes", "overlap", "frames", "pieces", "digest", "decoded")
"""Kinds of evidence, weakest first."""
REQUIRABLE = ("size", "overlap", "frames", "pieces", "digest", "decoded")
"""Kinds that a user may require before a file is sealed; the first is no requirement."""
PLACES_MAX: Final = 200
NAMES_MAX: Final = 20


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
    `agreed_chunks`, `disagreed_chunks`: where checks were made, at most `PLACES_MAX` of each.
    `freed_firsts`, `freed_stops`: ranges of chunks that were taken back from such sources, and fetched again.
    `excluded_chunks`, `excluded_why`: how many chunks each in `excluded` had sent, and what showed the difference.
    `container`: what the container's own checks of the whole file found, for people; "" where there are none.
    """

    kind: str = "size"
    checks_agreed: int = 0
    checks_disagreed: int = 0
    groups: int = 0
    contributors: int = 0
    excluded_share: float = 1.0
    excluded: tuple[str, ...] = ()
    agreed_chunks: tuple[int, ...] = ()
    disagreed_chunks: tuple[int, ...] = ()
    freed_firsts: tuple[int, ...] = ()
    freed_stops: tuple[int, ...] = ()
    container: str = ""
    excluded_chunks: tuple[int, ...] = ()
    excluded_why: tuple[str, ...] = ()

    @property
    def other_files(self) -> list[str]:
        """Sources of other content, a line each: who, how much of it had come, what showed the difference."""
        rows = zip(self.excluded, self.excluded_chunks, self.excluded_why, strict=False)
        return [f"{printable(who)} ({count_of(chunks, 'chunk')}; {printable(why)})" for who, chunks, why in rows]

    @property
    def text(self) -> str:
        """The claim as one sentence, printable."""
        odd = ", ".join(map(printable, self.excluded[:NAMES_MAX]))
        checked = f"; {printable(self.container)}" if self.container else ""
        return _sentence(self) + checked + (f"; left out, other content: {odd}" if odd else "")

    def summary(self) -> dict[str, Any]:
        """Return what events and scripts get of it; names as in the API."""
        return {
            "kind": self.kind,
            "checksAgreed": self.checks_agreed,
            "checksDisagreed": self.checks_disagreed,
            "groups": self.groups,
            "contributors": self.contributors,
            "excludedShare": round(self.excluded_share, 4),
            "excluded": list(self.excluded[:NAMES_MAX]),
            "excludedChunks": list(self.excluded_chunks[:NAMES_MAX]),
            "excludedWhy": list(self.excluded_why[:NAMES_MAX]),
            "text": self.text,
        }


def _sentence(claim: Claim) -> str:
    match claim.kind:
        case "digest":
            return "the digest of the whole file is as given"
        case "decoded":
            return "the whole file was decoded, and its own checks hold"
        case "pieces":
            return "every piece has the hash that was given"
    if claim.contributors == 0:
        return "nothing is stored yet"
    if claim.contributors == 1:
        sure = (
            f", and {count_of(claim.checks_agreed, 'overlap check')} with others agree" if claim.checks_agreed else ""
        )
        return f"all of it is from one source{sure}"
    if claim.groups > 1:
        return f"{claim.contributors} sources in {claim.groups} groups that no check has tied yet"
    if not claim.checks_agreed:
        frames = "the file's own checks hold where sources meet"
        return frames if claim.kind == "frames" else "equal size only: no check has compared the sources"
    agree = "agree" if claim.checks_agreed > 1 else "agrees"
    share = f"a differing share above {100 * claim.excluded_share:.0f} % is excluded at 99 %"
    frames = ", the file's own checks hold where sources meet" if claim.kind == "frames" else ""
    return f"{count_of(claim.checks_agreed, 'overlap check')} {agree}{frames}; {share}"
