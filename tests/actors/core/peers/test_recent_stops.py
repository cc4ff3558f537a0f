"""How often a peer was stopped lately in one of its folders, by other jobs than the one that asks."""

from hypothesis import given
from hypothesis import strategies as st

from actors.core.peers.recent_stops import FOLDERS_MAX, KEPT_S, RecentStops

PATHS = ("m\\a\\1.flac", "m\\a\\2.flac", "m/a/3.flac", "m\\b\\1.flac", "1.flac")
FOLDERS = ("m\\a", "m\\a", "m/a", "m\\b", "")
STEPS = st.lists(
    st.tuples(st.sampled_from(("ann", "bob")), st.integers(0, 4), st.integers(1, 3), st.floats(0, 0.7 * KEPT_S)),
    max_size=30,
)


@given(STEPS)
def test_every_stop_counts_for_the_other_jobs_until_an_hour_after_the_last_one_in_its_folder(
    steps: list[tuple[str, int, int, float]],
) -> None:
    subject, now_s = RecentStops(), 0.0
    seen: dict[tuple[str, str], list[int]] = {}  # the jobs that stopped it since its count began
    last_s: dict[tuple[str, str], float] = {}
    for peer, path, job, pause_s in steps:
        now_s += pause_s
        key = peer, FOLDERS[path]
        if now_s - last_s.get(key, now_s) > KEPT_S:
            seen[key] = []
        expected = sum(other != job for other in seen.get(key, []))
        assert subject.beside(peer, PATHS[path], job, now_s=now_s) == expected
        subject.add(peer, PATHS[path], job, now_s=now_s)
        seen.setdefault(key, []).append(job)
        last_s[key] = now_s


def test_who_was_stopped_longest_ago_is_forgotten_where_there_are_too_many() -> None:
    subject = RecentStops()
    for number in range(FOLDERS_MAX):
        subject.add("ann", f"{number}\\f", 1, now_s=1.0)
    subject.add("ann", "0\\f", 1, now_s=1.0)
    subject.add("ann", "new\\f", 1, now_s=1.0)
    known = [subject.beside("ann", f"{folder}\\f", 2, now_s=1.0) for folder in (0, 1, 2, "new")]
    assert known == [2, 0, 1, 1]
