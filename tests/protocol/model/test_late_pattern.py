"""Late patterns: those of `re`, but compiled at their first use."""

import re

import pytest

from protocol.model.value import late_pattern


def test_it_matches_as_the_compiled_one_does() -> None:
    late, plain = late_pattern("(a+)b", re.IGNORECASE), re.compile("(a+)b", re.IGNORECASE)
    for text in ("AAb", "xaab", ""):
        assert [found[0] for found in late.finditer(text)] == [found[0] for found in plain.finditer(text)]
    assert late.sub("-", "aAb b") == "- b"
    assert late.pattern == plain.pattern


def test_bytes_are_matched_by_a_pattern_of_bytes() -> None:
    assert late_pattern(rb"[0-9]+").findall(b"1 22") == [b"1", b"22"]


def test_it_is_compiled_when_it_is_used() -> None:
    late = late_pattern("(")
    with pytest.raises(re.error):
        late.match("")
