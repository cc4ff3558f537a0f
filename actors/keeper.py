"""The shell of the JobKeeper: takes a message, asks the core, writes down what it says, then says what it says.

Owns the job store. Nothing that was answered is lost: answers and events leave after the commit that holds them.
Several messages that wait in the inbox share one commit. While the store cannot be written (its disk is full), orders
are refused as ``unavailable``, runs go on, and everything is taken up again from what the store holds as soon as it
can."""

import logging
import sqlite3
import time
import uuid
from typing import Final, cast, get_args

from actors.core.keeping import Beginning, Decided, Keeping
from actors.core.keeping_manifest import completed
from actors.core.keeping_step import Now, Step, answers
from actors.keeper_answers import Answers, Question
from actors.mailroom import Mailroom
from actors.wire_actor import WireActor
from protocol.keeper_settings import KeeperSettings
from protocol.kept import SaveManifest, Write
from protocol.messages import (
    Answered,
    CommitDue,
    EventsWatched,
    KeeperConfigured,
    KeeperInbox,
    OrderPlaced,
    Refused,
    SessionChanged,
    Ticked,
)
from protocol.post import KEEPER, Post, split_address
from storage.job_book import JobBook

_logger = logging.getLogger(__name__)

TICK_S: Final = 1.0
COMMIT_S: Final = 0.1
"""What nobody waits for is written down at most so much later."""
STEPS_MAX: Final = 256
"""So many share a commit at most."""
_QUESTIONS: Final = get_args(Question)
_SURROUNDING: Final = (EventsWatched, KeeperConfigured, SessionChanged)
"""What is heard also while the store cannot be written: nobody will say it again."""


class JobKeeper(WireActor):
    """One a daemon. `anew`: the daemon has just been started, and no run of before can be going on."""

    def __init__(
        self, mailroom: Mailroom, path: str, settings: KeeperSettings, *, anew: bool, version: str = ""
    ) -> None:
        super().__init__(split_address(KEEPER)[1], mailroom)
        self._path = path
        self._settings = settings
        self._anew = anew
        self._version = version
        self._open: list[Step] = []
        self._due = False
        self._fault = "not begun yet"

    def starting(self) -> None:
        self._book = JobBook(self._path)
        self._keeping = self._read()
        self._begin()
        self.mailroom.post_later(TICK_S, self.address, Ticked())

    def stopping(self) -> None:
        if not self._fault:
            self._take(self._keeping.unwritten())
            self._commit()
        self._book.close()

    def handle(self, message: KeeperInbox) -> None:
        if isinstance(message, Ticked):
            self.mailroom.post_later(TICK_S, self.address, Ticked())
            if self._fault:
                self._begin()
        if isinstance(message, CommitDue):
            self._due = False
            self._commit()
        elif isinstance(message, _QUESTIONS):
            self._commit()
            for reply in self._answers.to(message, now()):
                self.mailroom.post(message.reply_to, reply)
        elif self._fault and not isinstance(message, _SURROUNDING):
            self._refuse(message)
        else:
            self._recall(message)
            self._take(self._keeping.handle(cast(Decided, message), now=now()))
        self._commit_if_waited_for()

    # -- taking up what the book holds

    def _read(self) -> Keeping:
        """The keeper that the book makes; it begins when the book can be written."""
        book = self._book
        begun = Beginning(
            jobs=book.living(),
            last_run=book.last_run(),
            last_event=book.last_serial(),
            last_job=book.last_job(),
            totals=book.totals(),
            limit_bytes_s=book.limit(),
            files=book.files(),
        )
        keeping = Keeping(self._settings, begun, new_id=lambda: str(uuid.uuid4()))
        self._answers = Answers(keeping, book)
        return keeping

    def _begin(self) -> None:
        self._fault = ""
        self._take(self._keeping.begin(now(), anew=self._anew, version=self._version))
        self._commit()
        if not self._fault:
            self._anew = False

    def _give_up(self, error: sqlite3.Error, steps: list[Step]) -> None:
        """Nothing of these steps has happened: whoever waits for an answer hears that, and the book is right."""
        _logger.error("%s cannot be written: %s", self._path, error)
        self._fault = f"the job store cannot be written: {error}"
        for step in steps:
            asked = [(post.to, post.message.request) for post in step.posts if isinstance(post.message, Answered)]
            for to, request in {*asked, *((to, request) for request, to in step.counted)}:
                self.mailroom.post(to, self._unavailable(request))
            self.mailroom.post_all([post for post in step.posts if isinstance(post.message, Refused)])
        before, self._keeping = self._keeping, self._read()
        self._keeping.take_over(before)

    def _refuse(self, message: KeeperInbox) -> None:
        request, reply_to = getattr(message, "request", None), getattr(message, "reply_to", "")
        if request is not None and reply_to:
            self.mailroom.post(reply_to, self._unavailable(request))

    def _unavailable(self, request: int) -> Refused:
        return Refused(request=request, kind="unavailable", field="", detail=self._fault)

    # -- one message

    def _recall(self, message: KeeperInbox) -> None:
        """An order about a job that has ended brings it back from the book, one with a key the job of this key."""
        if isinstance(message, OrderPlaced) and message.key:
            self._commit()
            known = self._book.job_of_key(message.key)
            if known is not None:
                self._keeping.recall(known, self._book.sources(known.id))
        id = getattr(message, "id", "")
        if id and id not in self._keeping.jobs.living:
            self._commit()  # the book may not know yet that it has ended
            kept = self._book.job(id)
            if kept is not None:
                self._keeping.recall(kept, self._book.sources(id))

    def _take(self, step: Step) -> None:
        self.mailroom.post_all(step.at_once)
        if step.told:
            self._commit()
            self._complete(step)
        if step:
            self._open.append(step)

    def _complete(self, step: Step) -> None:
        """A manifest that was told is completed by what is kept of it; written down, or said to who asks."""
        for told in step.told:
            before = self._book.manifest(told.id)
            runs = before if told.runs is None else completed(told.runs, before)
            if told.asker is None:
                step.writes.append(SaveManifest(told.id, tuple(runs)))
            else:
                request, reply_to = told.asker
                step.posts += [Post(to=reply_to, message=part) for part in answers(request, runs)]

    def _commit_if_waited_for(self) -> None:
        if not self._open:
            return
        urgent = any(step.urgent for step in self._open)
        if urgent and (self.actor_inbox.empty() or len(self._open) >= STEPS_MAX):
            self._commit()
        elif not self._due:
            self._due = True
            self.mailroom.post_later(COMMIT_S, self.address, CommitDue())

    def _commit(self) -> None:
        """Write down what is open, then say it."""
        steps, self._open = self._open, []
        writes: list[Write] = [write for step in steps for write in step.writes]
        try:
            if writes:
                self._book.apply(writes)
        except sqlite3.Error as error:
            self._give_up(error, steps)
            return
        for step in steps:
            self.mailroom.post_all(step.posts)
            for request, reply_to in step.counted:
                for part in answers(request, [self._answers.counts()]):
                    self.mailroom.post(reply_to, part)


def now() -> Now:
    """The only place where the keeper looks at a clock. The schedule of limits is in local time."""
    wall_s = time.time()
    local = time.localtime(wall_s)
    week_s = local.tm_wday * 86_400 + local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec
    return Now(s=time.monotonic(), ms=int(1000 * wall_s), week_s=week_s)
