"""Several hundred sources of one job: no step hands over much, and what was put off to a later one comes then."""

from typing import Any

from actors.core.dispatch.granting import CHECKS_PER_STEP, SERVED_PER_STEP
from protocol.messages import LeaseGranted
from tests.bench.decision_cost import Driver

SOURCES = 400
CHUNKS = 100_000


class Counted(Driver):
    """The bench's driver until some seconds of the job are over, with the most leases that one step granted."""

    granted_max = 0

    def say(self, message: Any) -> None:
        posts = self.state.handle(message, now_s=self.now_s)
        self.granted_max = max(self.granted_max, sum(isinstance(post.message, LeaseGranted) for post in posts))
        for post in posts:
            self.hear(post.message)
        if self.now_s > 3.0:
            self.events.clear()
            self.sealed = True


def test_one_step_hands_over_few_leases_among_very_many_and_the_rest_follow() -> None:
    driver = Counted(SOURCES, CHUNKS)
    driver.run()
    assert 1 <= driver.granted_max <= CHECKS_PER_STEP + SERVED_PER_STEP
    leased = {lease.source for lease in driver.state.leases.tracker.leases.values()} if driver.state.leases else set()
    assert len(leased) > 0.8 * SOURCES
