"""Missing ties: which contributors of a file nothing joins to the group that goes on, and who could join them.

A tie is an edge of evidence between two groups, see `evidence`. Pure; owned by `CheckPlan`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from actors.core.dispatch.chunk_tracker import Owned
from actors.core.dispatch.identity.evidence import Identity
from actors.core.dispatch.sources import Source

ASKED_MAX: Final = 2
"""Sources that are asked at a time for one missing tie, or for one suspect chunk."""


class Holdings:
    """Ranges and chunks of each contributor, derived once for each state of ownership.

    `longest`: the longest range of each, the longest first; `counts`: chunks of each; `first`: the first range of all.
    """

    def __init__(self, rows: Sequence[Owned]) -> None:
        self.first = rows[0] if rows else None
        longest: dict[int, int] = {}  # its number among all
        counts: dict[int, int] = {}
        for number, (first, stop, owner) in enumerate(rows):
            known = longest.get(owner)
            if known is None:
                longest[owner], counts[owner] = number, stop - first
                continue
            counts[owner] += stop - first
            if stop - first > rows[known][1] - rows[known][0]:
                longest[owner] = number
        self.counts = counts
        order = sorted(longest.values(), key=lambda number: (rows[number][0] - rows[number][1], number))
        self.longest = tuple(rows[number] for number in order)


class Ties:
    """Missing ties of one state of the file: groups of contributors that nothing ties to the one that goes on.

    Derived once for each state of ownership and evidence, however many sources ask. `_rows`: longest ranges by group.
    """

    def __init__(self, holdings: Holdings, identity: Identity, sources: Mapping[int, Source]) -> None:
        self._identity, self.holdings = identity, holdings
        self._rows: dict[int, list[Owned]] = {}
        totals: dict[int, int] = {}
        chief: dict[int, int] = {}  # the member that stands for each group
        for row in holdings.longest:
            owner = row[2]
            root = identity.root_of(owner)
            self._rows.setdefault(root, []).append(row)
            totals[root] = totals.get(root, 0) + holdings.counts[owner]
            chief[root] = min(chief.get(root, owner), owner)
        # The group with most chunks first.
        self._order = sorted(chief.items(), key=lambda item: (-totals[item[0]], item[1]))
        self._sources = sources
        self._open: dict[int, list[Owned]] = {}
        self._open_of: int | None = None
        self._under_way: Counter[int] = Counter()
        self._helpers = 0

    def main(self) -> int | None:
        """Return the contributor whose group goes on.

        The anchor's, else, of the groups that still have a source, the one with most chunks stored.
        """
        if self._identity.anchor is not None:
            return self._identity.anchor
        for root, chief in self._order:
            members = self._identity.members_of(root)
            if any(each in self._sources and self._sources[each].usable for each in members):
                return chief
        return self._order[0][1] if self._order else None

    def missing(self) -> bool:
        """Whether a contributor is not tied to the group that goes on."""
        main = self.main()
        return main is not None and len(self._rows) - (self._identity.root_of(main) in self._rows) > 0

    def given(self, source: int, owner: int) -> None:
        """A check is on its way that will tie the group of its source to that of the chunk's contributor."""
        own = self._identity.root_of(source)
        self._helpers += own not in self._rows
        for root in {own, self._identity.root_of(owner)}:
            self._under_way[root] += 1
            if self._under_way[root] >= ASKED_MAX:
                self._open.pop(root, None)

    def any_open(self) -> bool:
        """Whether a further source may be asked for one."""
        return self._opened() is not None and (bool(self._open) or self._helpers < ASKED_MAX)

    def _opened(self) -> int | None:
        """Return the group that goes on, and keep the others in `_open` for which further sources may be asked."""
        main = self.main()
        if main is None:
            return None
        goes_on = self._identity.root_of(main)
        if self._open_of != goes_on:
            full = {root for root, count in self._under_way.items() if count >= ASKED_MAX}
            self._open_of = goes_on
            self._open = {root: rows for root, rows in self._rows.items() if root != goes_on and root not in full}
        return goes_on

    def rows_for(self, source: Source) -> Iterator[Owned]:
        """Yield ranges in which this source could tie two groups, one of which is its own or the one that goes on.

        Sources of which nothing is stored help too, a few at a time: there may be no other way.
        """
        goes_on, own = self._opened(), self._identity.root_of(source.id)
        if goes_on is None:
            return
        first = self.holdings.first
        if not source.traits.offset_ok:  # the very beginning is all that it can compare
            root = self._identity.root_of(first[2]) if first is not None else own
            if first is not None and root != own and goes_on in (own, root):
                yield first
        elif own == goes_on:
            for rows in list(self._open.values()):
                yield from rows
        elif self._under_way[own] < ASKED_MAX and (own in self._rows or self._helpers < ASKED_MAX):
            yield from self._rows.get(goes_on, ())
