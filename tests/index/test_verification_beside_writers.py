"""Looking and repairing beside a process that writes and compacts: no false alarm, and nobody is in another's way."""

import threading
from contextlib import suppress

import pytest
from killed_writer import PROCESSES, promises_broken, stored, write_until_killed
from tiny_encoder import DIM

from encoder.bundle import Bundle
from index.sqlite_catalogue import SqliteCatalogue
from index.verification import verify

ROUNDS = 12


@pytest.mark.parametrize("mend", [False, True], ids=["look", "repair"])
def test_nothing_is_found_beside_a_writer(mend, tmp_path, tiny_bundle):
    path = tmp_path / "catalogue"
    SqliteCatalogue.create(path, Bundle.open(tiny_bundle)).close()
    receiver, sender = PROCESSES.Pipe(duplex=False)
    writer = PROCESSES.Process(target=write_until_killed, args=(sender, path, "compact", 1, tiny_bundle, None))
    writer.start()
    sender.close()
    done = []

    def read():
        with suppress(EOFError):
            while True:
                message = receiver.recv()
                done.extend([message[1]] * (message[0] == "done"))

    reading = threading.Thread(target=read)
    reading.start()
    seen = []
    while len(seen) < ROUNDS or done.count("compact") < ROUNDS:
        assert writer.is_alive()
        report = verify(path, means=None, mend=mend, tell=lambda part, done, total: None)
        assert report.clean, [check.document() for check in report.checks if check.found]
        seen.append(report.of("embeddings").looked_at)
    writer.kill()
    writer.join()
    reading.join()
    receiver.close()
    assert len(set(seen)) > 1, "the writer wrote nothing meanwhile"
    assert promises_broken(path, stored(path), DIM) == []
