"""Threads and processes that search beside a writer and compactions: every answer is right for some moment.

The writer counts: item n is put, then item n - WINDOW is deleted. So a search for everything must find a run of
consecutive numbers, and the run of a later search never lies before that of an earlier one. `hammer` runs as long as
it is told; the suite runs it for a few seconds, `python tests/index/test_concurrency.py SECONDS [THREADS PROCESSES]` by
hand for longer. How long a search waits is told beside what a thread waits that only sleeps: the latter is what the
interpreter and the machine make everybody wait, with as many threads at work.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from tiny_encoder import DIM, write_tiny_bundle
from vector_catalogue import clustered, item_of

from encoder.bundle import Bundle
from index.ann_wishes import IndexWishes
from index.sqlite_catalogue import SqliteCatalogue

SECONDS = 6.0
NUM_THREADS, NUM_PROCESSES = 8, 2
NUM_FIXED, WINDOW = 600, 20
COUNTED = np.eye(DIM, dtype=np.float32)[0]  # what all counted items lie at; the fixed ones are drawn elsewhere


def fixed_vectors():
    vectors = clustered(NUM_FIXED)
    vectors[:, 0] = 0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Reader:
    """Searches until told to stop, and remembers what was wrong and the longest wait."""

    def __init__(self, catalogue):
        self.catalogue, self.faults, self.searches, self.waits_s = catalogue, [], 0, []
        self._last = (-1, -1)
        self._fixed = fixed_vectors()

    def run(self, is_over):
        while not is_over():
            started = time.perf_counter()
            matches = self.catalogue.search(COUNTED[None], k=2 * WINDOW)[0]
            self.waits_s.append(time.perf_counter() - started)
            self._check([int(match.id[1:]) for match in matches if match.id.startswith("n")])
            number = self.searches % NUM_FIXED
            best = self.catalogue.search(self._fixed[number][None], k=1)[0][0]
            if best.score < 0.998:
                self.faults.append(f"f{number} was not found, {best.id} was")
            self.searches += 1

    def _check(self, numbers):
        numbers.sort()
        if not numbers:
            return
        if numbers != list(range(numbers[0], numbers[-1] + 1)) or not WINDOW <= len(numbers) <= WINDOW + 1:
            self.faults.append(f"found {numbers}")
        if (numbers[0], numbers[-1]) < self._last:
            self.faults.append(f"{numbers[0]}-{numbers[-1]} after {self._last}")
        self._last = (numbers[0], numbers[-1])


def sleep_until(is_over, late_s):
    """Sleep a millisecond, over and over, and note how much later than that it goes on."""
    while not is_over():
        started = time.perf_counter()
        time.sleep(0.001)
        late_s.append(time.perf_counter() - started - 0.001)


def told_ms(waits_s):
    """The median, the longest, and how many are longer than 50 ms."""
    waits_ms = 1000 * np.array(waits_s)
    return {
        "p50": round(float(np.median(waits_ms)), 2),
        "longest": round(float(waits_ms.max()), 1),
        "over_50": f"{(waits_ms > 50).sum()} of {len(waits_ms)}",
    }


def hammer(path, bundle, seconds, num_threads=NUM_THREADS, num_processes=NUM_PROCESSES):
    """Run all of it and return faults, counts, and how long readers waited."""
    with SqliteCatalogue.create(path, Bundle.open(bundle)) as writer:
        writer.wish(IndexWishes(faiss="IVF8,SQ8"))
        writer.put([item_of(f"f{number}", vector) for number, vector in enumerate(fixed_vectors())])
        writer.put([item_of(f"n{number}", COUNTED) for number in range(WINDOW)])
        writer.compact()
        command = [sys.executable, __file__, str(path), str(seconds)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(num_processes)
        ]
        stop = threading.Event()
        readers, crashes, compactions = [Reader(writer) for _ in range(num_threads)], [], [0]

        def searching(reader):
            try:
                reader.run(stop.is_set)
            except Exception as error:
                crashes.append(repr(error))

        def compacting():
            with SqliteCatalogue.open(path) as other:
                while not stop.wait(0.5):
                    other.compact()
                    compactions[0] += 1

        threads = [threading.Thread(target=searching, args=(reader,)) for reader in readers]
        threads.append(threading.Thread(target=compacting))
        late_s = []
        threads.append(threading.Thread(target=sleep_until, args=(stop.is_set, late_s)))
        for thread in threads:
            thread.start()
        number, deadline = WINDOW, time.monotonic() + seconds
        while time.monotonic() < deadline:
            writer.put([item_of(f"n{number}", COUNTED)])
            writer.delete([f"n{number - WINDOW}"])
            number += 1
        stop.set()
        for thread in threads:
            thread.join()
        outcomes = [json.loads(process.communicate()[0]) for process in processes]
    ours = [fault for one in readers for fault in one.faults]
    return {
        "faults": crashes + ours + [fault for outcome in outcomes for fault in outcome["faults"]],
        "codes": [process.returncode for process in processes],
        "writes": 2 * (number - WINDOW),
        "compactions": compactions[0],
        "searches": sum(reader.searches for reader in readers) + sum(outcome["searches"] for outcome in outcomes),
        "search_ms": told_ms([wait_s for one in readers for wait_s in one.waits_s]),
        "late_ms_of_a_thread_that_only_sleeps": told_ms(late_s),
        "search_ms_in_other_processes": [outcome["search_ms"] for outcome in outcomes],
    }  # fmt: skip


def test_readers_beside_a_writer_are_never_wrong(tmp_path, tiny_bundle):
    outcome = hammer(tmp_path / "c", tiny_bundle, SECONDS)
    assert outcome["faults"][:5] == []
    assert outcome["codes"] == [0] * NUM_PROCESSES
    assert min(outcome["writes"], outcome["searches"]) > 20
    assert outcome["compactions"] > 0


if __name__ == "__main__":
    if Path(sys.argv[1]).is_dir():  # one of the processes
        over = time.monotonic() + float(sys.argv[2])
        with SqliteCatalogue.open(Path(sys.argv[1])) as opened:
            one = Reader(opened)
            one.run(lambda: time.monotonic() > over)
        told = {"faults": one.faults, "searches": one.searches, "search_ms": told_ms(one.waits_s)}
        sys.stdout.write(json.dumps(told))
    else:
        with tempfile.TemporaryDirectory() as folder:
            bundle = write_tiny_bundle(Path(folder) / "bundle")
            outcome = hammer(Path(folder) / "c", bundle, float(sys.argv[1]), *map(int, sys.argv[2:]))
            sys.stdout.write(json.dumps(outcome) + "\n")
