"""What deleted jobs leave on the disk, until the Assembler has said that it is gone."""

from collections.abc import Iterable

from actors.core.keeping_step import Scribe
from protocol.kept import DropFiles, JobFiles, SaveFiles
from protocol.messages import TargetUnwanted
from protocol.post import ASSEMBLER, KEEPER


class Removal:
    """Owned by one `Orders`."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._files: dict[str, JobFiles] = {}

    def begin(self, files: Iterable[JobFiles]) -> None:
        """Go on with what was not done before."""
        self._files = {each.id: each for each in files}
        self.ask()

    def remove(self, files: JobFiles) -> None:
        self._files[files.id] = files
        self._scribe.write(SaveFiles(files))
        self._ask(files)

    def ask(self) -> None:
        """Whoever was asked before may have died."""
        for files in self._files.values():
            self._ask(files)

    def removed(self, id: str) -> None:
        if self._files.pop(id, None) is not None:
            self._scribe.write(DropFiles(id))

    def _ask(self, files: JobFiles) -> None:
        unwanted = TargetUnwanted(id=files.id, folder=files.folder, name=files.name, reply_to=KEEPER)
        self._scribe.post(ASSEMBLER, unwanted)
