"""The gate's decisions on drawn outlooks, each compared with the seconds that they are about. Rates are bytes a second.

Every number that is tuned is taken from the module: what is checked is which numbers are compared, and what follows.
"""

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from actors.core.dispatch import gate
from actors.core.dispatch.gate import Decision, Forecast, Outlook, User, decide, forecast, guess_bytes_s, opens, sample
from actors.core.dispatch.sources import PRIOR_BYTES_S
from protocol.model.value import Struct, replace

RATES = st.one_of(st.just(0.0), st.floats(1e3, 1e8))
KNOWN = st.floats(1e3, 1e8)
HELD = st.floats(0.0, 2 * gate.HOLD_S_MAX)
PATIENCE = st.sampled_from([1.0, 15.0, 60.0])
BYTES = st.floats(1e5, 1e10)
WAITING = st.builds(
    User,
    rate_bytes_s=RATES,
    sends=st.just(False),
    advertised_bytes_s=RATES,
    awaited=st.booleans(),
    sampled=st.booleans(),
    guessed=st.booleans(),
)
SENDING = st.builds(
    User, rate_bytes_s=KNOWN, sends=st.just(True), measured=st.just(True), advertised_bytes_s=RATES, seems_bytes_s=RATES
)
UNMEASURED = st.builds(User, rate_bytes_s=RATES, sends=st.just(True), measured=st.just(False))


class Case(Struct):
    """An outlook, and the candidate that is decided on."""

    outlook: Outlook
    candidate: User
    patience_s: float
    held_s: float

    def decide(self, **changes: float) -> Decision:
        held_s = changes.get("held_s", self.held_s)
        return decide(self.outlook, self.candidate, patience_s=self.patience_s, held_s=held_s)

    @property
    def held_or_shut(self) -> Decision:
        return Decision.HOLD if self.held_s < gate.HOLD_S_MAX else Decision.SHUT


@st.composite
def cases(
    draw: st.DrawFn,
    senders: st.SearchStrategy[list[User]],
    waiting: st.SearchStrategy[User] = WAITING,
    free: st.SearchStrategy[float] = RATES,
) -> Case:
    candidate = draw(waiting)
    users = [candidate, *draw(senders), *draw(st.lists(waiting, max_size=3))]
    alone = st.one_of(st.just(-1.0), st.floats(0.0, 1e5))
    outlook = Outlook(draw(BYTES), dict(enumerate(users)), draw(free), draw(alone), draw(st.integers(0, 2)))
    return Case(outlook, candidate, draw(PATIENCE), draw(HELD))


def some(users: st.SearchStrategy[User], most: int = 2) -> st.SearchStrategy[list[User]]:
    return st.lists(users, min_size=1, max_size=most)


WITH_UNMEASURED = st.builds(lambda one, others: [one, *others], UNMEASURED, some(SENDING))


@given(cases(st.just([]), free=st.just(0.0)))
def test_while_no_one_sends_any_user_joins_but_one_known_to_be_late_beside_another_who_waits_for_it(case: Case) -> None:
    rate, left = case.candidate.rate_bytes_s, case.outlook.left_bytes
    others_s = [left / user.rate_bytes_s for user in case.outlook.users.values() if user.rate_bytes_s > 0]
    late_s = left / rate - min(others_s) if rate > 0 else 0.0
    assume(abs(late_s - gate.LATE_S) > 1e-6)
    waits = late_s > gate.LATE_S and case.held_s < gate.HOLD_S_MAX
    assert case.decide() is (Decision.HOLD if waits else Decision.JOIN)


@given(cases(WITH_UNMEASURED))
def test_beside_a_sender_that_is_not_measured_no_one_joins(case: Case) -> None:
    assert case.decide() is case.held_or_shut


@given(cases(some(SENDING), waiting=st.builds(User, rate_bytes_s=KNOWN, sends=st.just(False))), st.floats(0.1, 3.0))
def test_a_known_user_waits_for_one_that_is_awaited_unless_that_is_known_to_be_hardly_faster(
    case: Case, times: float
) -> None:
    unknown = User(0.0, False, awaited=True)
    known = User(case.candidate.rate_bytes_s * times, False, awaited=True)
    for awaited in (unknown, known):
        users = {**case.outlook.users, 99: awaited}
        seen = replace(case, outlook=replace(case.outlook, users=users))
        if awaited is unknown or times > gate.BETTER + 1e-9:
            assert seen.decide() is case.held_or_shut


def saved_enough(case: Case, outlook: Outlook, patience_s: float, share: float) -> bool | None:
    """Whether one more user saves both; None: too near to tell."""
    guess = guess_bytes_s(outlook.users.values())
    now = outlook.free_bytes_s + sum(user.rate_bytes_s for user in outlook.users.values() if user.sends)
    candidate = case.candidate
    mean = math.sqrt(candidate.advertised_bytes_s * guess) if candidate.advertised_bytes_s else guess
    before_s = outlook.alone_s if outlook.alone_s >= 0 else outlook.left_bytes / now
    saved_s = before_s - gate.SETUP_S - outlook.left_bytes / (now + (candidate.rate_bytes_s or mean))
    if min(abs(saved_s - patience_s), abs(saved_s - share * before_s)) < 1e-6 * before_s + 1e-6:
        return None
    return saved_s > patience_s and saved_s > share * before_s


@given(cases(some(SENDING, 3), waiting=st.builds(User, rate_bytes_s=RATES, sends=st.just(False))), BYTES)
def test_one_more_joins_where_it_saves_enough_and_the_first_stop_of_a_job_needs_less(case: Case, sure: float) -> None:
    """The latter is judged by what is sure, and where one user sends."""
    outlook = replace(
        case.outlook, users={n: replace(each, seems_bytes_s=0.0) for n, each in case.outlook.users.items()}
    )
    sure_outlook = replace(outlook, alone_s=outlook.left_bytes / sure)
    saves = saved_enough(case, outlook, case.patience_s, gate.GAIN_SHARE)
    first = sum(user.sends for user in outlook.users.values()) == 1 and outlook.stops == 0
    less = saved_enough(case, sure_outlook, gate.FIRST_PATIENCE_SHARE * case.patience_s, gate.FIRST_GAIN_SHARE)
    assume(saves is not None and less is not None)
    decided = decide(outlook, case.candidate, patience_s=case.patience_s, held_s=case.held_s, sure=sure_outlook)
    assert decided is (Decision.JOIN if saves or (first and less) else Decision.SHUT)


@given(st.floats(1e6, 1e8), st.lists(RATES, min_size=1, max_size=3), HELD)
def test_an_offer_that_is_worth_it_is_held_while_a_young_sender_seems_nearly_as_fast(
    rate: float, seem: list[float], held_s: float
) -> None:
    senders = [User(1e4, True, measured=True, seems_bytes_s=each) for each in seem]
    candidate = User(rate, False)
    outlook = Outlook(1e9, dict(enumerate([candidate, *senders])), stops=1)
    assume(abs(rate - gate.SURE_FASTER * max(seem)) > 1.0)
    held = rate < gate.SURE_FASTER * max(seem) and held_s < gate.HOLD_S_MAX
    decided = decide(outlook, candidate, patience_s=15.0, held_s=held_s)
    assert decided is (Decision.HOLD if held else Decision.JOIN)


@given(cases(st.lists(st.one_of(SENDING, UNMEASURED), max_size=3)))
def test_no_offer_is_held_for_long(case: Case) -> None:
    assert case.decide(held_s=gate.HOLD_S_MAX) is not Decision.HOLD


@given(cases(some(SENDING), free=st.just(0.0)), st.floats(0.0, 10.0), st.booleans())
def test_a_sample_is_taken_where_a_user_of_any_speed_could_save_enough(
    case: Case, restart_s: float, again: bool
) -> None:
    """Beside those that send and the best that is known and waits; of a file that is soon there one by one."""
    outlook = replace(case.outlook, alone_s=abs(case.outlook.alone_s))
    users = outlook.users.values()
    held_s, patience_s = case.held_s, case.patience_s
    decided = sample(outlook, restart_s=restart_s, patience_s=patience_s, held_s=held_s, again=again)
    if not again and outlook.alone_s < gate.SAMPLES_APART_S and any(user.sampled for user in users):
        assert decided is case.held_or_shut
        return
    rates = [user.rate_bytes_s for user in users if user.rate_bytes_s > 0 and not user.sends and not user.guessed]
    left_s = min([outlook.alone_s, *(outlook.left_bytes / rate + restart_s for rate in rates)])
    first = outlook.stops == 0 and sum(user.sends for user in users) == 1
    least_s = patience_s * (gate.FIRST_PATIENCE_SHARE if first else 1.0)
    saved_s = left_s - restart_s - gate.SETUP_S
    assume(abs(saved_s - least_s) > 1e-6)
    assert decided is (Decision.SAMPLE if saved_s > least_s else Decision.SHUT)


@given(cases(WITH_UNMEASURED), st.booleans())
def test_beside_a_sender_that_is_not_measured_no_sample_is_taken(case: Case, again: bool) -> None:
    decided = sample(case.outlook, restart_s=1.0, patience_s=case.patience_s, held_s=case.held_s, again=again)
    assert decided is case.held_or_shut


@given(st.lists(st.one_of(WAITING, SENDING), max_size=8), BYTES, RATES, st.floats(-1.0, 1e5))
def test_a_forecast_is_of_the_best_single_user_and_of_all_beside_the_mirrors(
    users: list[User], left: float, free: float, alone_s: float
) -> None:
    """Unknown ones count where none is known, else those that are awaited; in the sum those of a crowd."""
    known = [user.rate_bytes_s for user in users if user.rate_bytes_s > 0]
    unknown = [user for user in users if not user.rate_bytes_s and (user.awaited or not known)]
    logs = [math.log(rate) for rate in known] + gate.PRIOR_WEIGHT * [math.log(PRIOR_BYTES_S)]
    guess = math.exp(math.fsum(logs) / len(logs))
    best = max([0.0, *known, *[guess * gate.BEST_OF_UNKNOWN if len(unknown) > 1 else guess][: len(unknown)]])
    crowd = len(unknown) * guess if len(users) >= gate.CROWD else 0.0
    expected = Forecast(
        alone_s,
        left / max(free + best, 1.0),
        gate.SETUP_S + left / max(free + math.fsum(known) + crowd, 1.0),
    )
    found = forecast(Outlook(left, dict(enumerate(users)), free, alone_s))
    assert found.alone_s == expected.alone_s
    assert math.isclose(found.single_s, expected.single_s, rel_tol=1e-9)
    assert math.isclose(found.together_s, expected.together_s, rel_tol=1e-9)


@given(st.floats(-1.0, 1e3), st.floats(0.0, 1e3), st.floats(0.0, 1e3), PATIENCE)
def test_the_gate_opens_where_all_together_save_enough_beside_the_best_and_beside_those_that_send(
    alone_s: float, single_s: float, together_s: float, patience_s: float
) -> None:
    """While no one sends, beside the best."""
    befores_s = [single_s, alone_s] if alone_s >= 0 else [single_s]
    enough = [saved_s >= patience_s for saved_s in (each - together_s for each in befores_s)]
    enough += [each - together_s >= gate.GAIN_SHARE * each for each in befores_s]
    assert opens(Forecast(alone_s, single_s, together_s), patience_s) is all(enough)
