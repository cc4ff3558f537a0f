"""Builders of the processes that only the daemon has."""

from actors.process import ProcessActors, ProcessContext


def build_keeper(context: ProcessContext) -> ProcessActors:
    """The JobKeeper. `context.settings` is ``(path of the job store, KeeperSettings, version of this program)``."""
    from actors.keeper import JobKeeper
    from actors.wire_actor import stop_actors

    path, settings, version = context.settings
    anew = context.generation == 0
    keeper = JobKeeper.start(context.mailroom, path, settings, anew=anew, version=version)

    def stop() -> None:
        stop_actors([keeper], timeout_s=10.0)

    return ProcessActors(stop=stop)
