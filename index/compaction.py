"""When a snapshot is built anew, and the process that does it beside a running server.

    python -m index.compaction CATALOGUE     build one if it is due and nobody else does

A compaction reads the whole catalogue and trains an index: a minute or more at a million items. A server has it done
by a process of low priority, whose memory goes back when it ends and which takes the interpreter from no search.
"""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from encoder.errors import CatalogueBusyError, CatalogueError
from index.ann_choice import EXACT_NUMBERS
from index.locks import compacting_alone
from index.sqlite_catalogue import SqliteCatalogue
from index.view import View

logger = logging.getLogger(__name__)

# A tail of this many costs about a millisecond a search; below it a compaction is not worth its work.
SHORT_TAIL = 5000
TAIL_SHARE = 0.02
REMOVED_SHARE = 0.2
CHECK_S = 30.0
NICENESS = 10


def is_due(view: View) -> bool:
    """Whether so much has changed since the snapshot that another one pays for itself."""
    held = view.snapshot.info.count if view.snapshot is not None else 0
    return len(view.tail) > max(SHORT_TAIL, TAIL_SHARE * held) or view.num_removed > max(
        SHORT_TAIL, REMOVED_SHARE * held
    )


def is_due_after_bulk(held: int, changes: int, dim: int) -> bool:
    """Whether a bulk run ends with a compaction: where one is due, or where it takes a moment.

    Args:
        held: vectors of the present snapshot.
        changes: since that snapshot.
        dim: of a vector.
    """
    if changes == 0:
        return False
    return (held + changes) * dim <= EXACT_NUMBERS or changes > max(SHORT_TAIL, TAIL_SHARE * held)


class Upkeep:
    """Has a catalogue compacted whenever it is due, from `start` to `close`.

    Several processes may do so for one catalogue: one of them gets to build, the others find it done.

    Args:
        catalogue: open for as long.
        check_s: seconds between two looks.
    """

    def __init__(self, catalogue: SqliteCatalogue, *, check_s: float = CHECK_S) -> None:
        self._catalogue, self._check_s = catalogue, check_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lodisc-upkeep", daemon=True)

    def start(self) -> None:
        """Begin to look, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop; a compaction that is under way is given up."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._check_s):
            try:
                if is_due(self._catalogue.refresh()):
                    self._compact()
            except CatalogueError as error:
                logger.warning("cannot see whether the catalogue wants a new snapshot: %s", error)
            except OSError as error:  # no process can be started, as while memory is short
                logger.warning("no new snapshot could be built: %s", error.strerror or error)

    def _compact(self) -> None:
        # The process finds this program where this one did, installed or not.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)}
        command = [sys.executable, "-m", "index.compaction", str(self._catalogue.path)]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                if self._stop.wait(0.2):
                    process.kill()  # what it has begun is aside, and removed by the next
            told = process.stderr.read() if process.stderr is not None else ""
        if process.returncode and not self._stop.is_set():
            logger.warning("no new snapshot could be built: %s", told.strip().rsplit("\n", 1)[-1])


def compact_if_due(path: Path) -> bool:
    """Compact the catalogue at `path` unless that is not due or another process does; return whether it was done."""
    with SqliteCatalogue.open(path) as catalogue:
        if not is_due(catalogue.refresh()):
            return False
        try:
            with compacting_alone(path, wait=False):
                pass
        except CatalogueBusyError:
            return False
        catalogue.compact()
    return True


if __name__ == "__main__":
    os.nice(NICENESS)
    compact_if_due(Path(sys.argv[1]))
