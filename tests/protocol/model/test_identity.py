"""The claim about a file's content, as one sentence."""

import pytest

from protocol.model.identity import KINDS, Claim

TIED = Claim(kind="overlap", checks_agreed=4, groups=1, contributors=3, excluded_share=0.684)


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (Claim(), "nothing is stored yet"),
        (Claim(contributors=1, groups=1), "all of it is from one source"),
        (
            Claim(contributors=1, groups=1, checks_agreed=2),
            "all of it is from one source, and 2 overlap checks with others agree",
        ),
        (Claim(contributors=2, groups=1), "equal size only: no check has compared the sources"),
        (TIED, "4 overlap checks agree; a differing share above 68 % is excluded at 99 %"),
        (
            TIED.but(checks_agreed=1, excluded_share=0.99),
            "1 overlap check agrees; a differing share above 99 % is excluded at 99 %",
        ),
        (TIED.but(kind="size", groups=2), "3 sources in 2 groups that no check has tied yet"),
        (
            TIED.but(kind="frames"),
            "4 overlap checks agree, the file's own checks hold where sources meet; a differing share above 68 % is "
            "excluded at 99 %",
        ),
        (TIED.but(kind="frames", checks_agreed=0), "the file's own checks hold where sources meet"),
        (TIED.but(kind="pieces"), "every piece has the hash that was given"),
        (TIED.but(kind="digest"), "the digest of the whole file is as given"),
        (TIED.but(kind="decoded"), "the whole file was decoded, and its own checks hold"),
        (
            TIED.but(kind="digest", excluded=("eva", "a\nb")),
            "the digest of the whole file is as given; left out, other content: eva, a b",
        ),
    ],
)
def test_a_claim_is_one_printable_sentence(claim: Claim, text: str) -> None:
    assert claim.text == text
    assert claim.summary()["text"] == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("contributors", [0, 1, 2])
def test_every_kind_has_a_sentence(kind: str, contributors: int) -> None:
    assert Claim(kind=kind, contributors=contributors, groups=contributors).text
