"""A process that writes to a catalogue until it is killed, and what must be true of the catalogue afterwards.

The process says in a pipe what it is about to write and, after the call has returned, that it was acknowledged; what is
in the pipe outlives it. So at any kill it is known what is acknowledged and which one transaction may have been under
way. `kill_once` lets it work, kills it at an instant within an operation, and returns whatever was wrong.
"""

import hashlib
import multiprocessing
import random
import statistics
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from index.ann_wishes import IndexWishes
from index.build import build
from index.following import reading
from index.items import NewItem
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue
from index.vectors import pack, unpack
from index.verification import verify

KINDS = ("add", "delete", "update", "compact", "build")
MOST_TURNS = {"compact": 2, "build": 1}  # operations that a writer begins before it is killed: of long ones fewer
FEWEST, MOST = 320, 1200  # items between which the writer keeps a catalogue
# Forked from a process that has imported everything and started no thread: a new writer costs milliseconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["killed_writer"])


def drawn_item(item_id, version, dim):
    """The item that an id is at a version: as different from another version as from another id."""
    vector = np.random.default_rng([zlib.crc32(item_id.encode()), version]).normal(size=dim).astype(np.float32)
    return NewItem(
        id=item_id, labels={"label": f"l{version % 7}"}, metadata={"version": version}, source="http",
        content_hash=hashlib.sha256(f"{item_id} {version}".encode()).hexdigest(),
        embedding=vector / np.linalg.norm(vector), thumbnail=b"thumbnail" * 40,
    )  # fmt: skip


class Writer:
    """Writes to a catalogue, and says so in a pipe.

    Messages are `("begin", operation, puts, deletes)` with the versions of ids that are put and the ids that are
    deleted in one transaction, and `("done", operation)`. A bulk build is an operation that others are within.
    """

    def __init__(self, pipe, catalogue, chance):
        self.pipe, self.catalogue, self.chance = pipe, catalogue, chance
        self.versions = {item.id: item.metadata.get("version") for item in all_items(catalogue)}

    def do(self, operation, call, puts=None, deletes=()):
        self.pipe.send(("begin", operation, puts or {}, list(deletes)))
        call()
        self.pipe.send(("done", operation))

    def put(self, operation, puts):
        items = [drawn_item(*item, self.catalogue.manifest.embedding_dim) for item in puts.items()]
        self.do(operation, lambda: self.catalogue.put(items), puts)
        self.versions.update(puts)

    def delete(self, operation, ids):
        self.do(operation, lambda: self.catalogue.delete(ids), deletes=ids)
        for item_id in ids:
            del self.versions[item_id]

    def some(self, most):
        return self.chance.sample(sorted(self.versions), self.chance.randint(1, most))

    def fresh(self, most):
        return {f"i{self.chance.getrandbits(48):x}": 0 for _ in range(self.chance.randint(1, most))}

    def step(self, kind):
        """One operation of a kind, and those that it takes to have something to do it to."""
        while len(self.versions) < FEWEST:
            self.put("fill", self.fresh(2 * FEWEST))
        if len(self.versions) > MOST:
            self.delete("thin", sorted(self.versions)[: MOST - FEWEST])
        match kind:
            case "add":
                self.put("add", self.fresh(64))
            case "delete":
                self.delete("delete", self.some(32))
            case "update":
                self.put("update", {item_id: self.versions[item_id] + 1 for item_id in self.some(32)})
            case "compact":
                if self.chance.random() < 0.7:  # else the snapshot replaces one of the same change
                    self.put("some", self.fresh(8))
                    self.delete("few", self.some(4))
                self.do("compact", self.catalogue.compact)

    def bulk_build(self, encoder, source):
        """A bulk build whose transactions are noted, and the removal of everything for the next one."""
        put = self.catalogue.put
        self.catalogue.put = lambda items: self.do("batch", lambda: put(items), {item.id: None for item in items})
        self.do("build", lambda: build(self.catalogue, encoder, source, batch_size=4, threads=1, quiet=True))
        self.catalogue.put = put
        ids = list(self.catalogue.ids())
        self.do("empty", lambda: self.catalogue.delete(ids), deletes=ids)


def write_until_killed(pipe, path, kind, seed, bundle, source):
    """What the process does."""
    with SqliteCatalogue.open(path) as catalogue:
        writer = Writer(pipe, catalogue, random.Random(seed))
        encoder = ImageEncoder(Bundle.open(bundle)) if kind == "build" else None
        while True:
            if kind == "build":
                writer.bulk_build(encoder, read_source(source))
            else:
                writer.step(kind)


def all_items(catalogue):
    cursor = None
    while True:
        page = catalogue.items(cursor=cursor)
        yield from page.items
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        faults: what was wrong afterwards.
        instant: where in its operation it met the writer, in shares of what one takes; None: between two.
        transaction: what became of the one that was not acknowledged: `there`, `absent`, None where there was none.
    """

    faults: list
    instant: float | None
    transaction: str | None


@dataclass
class Campaign:
    """One catalogue that writers of one kind are killed at, one after the other, and what is known of it.

    Attributes:
        path, kind, bundle, source: of the catalogue, the operation, and for a bulk build what it reads.
        truth: content hash and stored vector of every acknowledged item, by id.
        seconds: that an operation has taken, for choosing instants within it.
    """

    path: object
    kind: str
    bundle: object
    source: object = None
    truth: dict = field(default_factory=dict)
    seconds: list = field(default_factory=list)

    def __post_init__(self):
        bundle = Bundle.open(self.bundle)
        self.dim = bundle.manifest.embedding_dim
        self._pictures = {}
        if self.kind == "build":  # what a build that nobody kills makes of each picture
            with SqliteCatalogue.create(self.path.parent / "unharmed", bundle) as catalogue:
                build(catalogue, ImageEncoder(bundle), read_source(self.source), quiet=True)
            self._pictures = stored(self.path.parent / "unharmed")
        with SqliteCatalogue.create(self.path, bundle) as catalogue:
            if self.kind == "compact":
                # An approximate index takes longest to build; so few vectors are scored exactly all the same.
                catalogue.wish(IndexWishes(faiss="IVF8,SQ8"))

    def kill_once(self, seed):
        """Let a writer work and kill it."""
        chance = random.Random(seed)
        turns, share = chance.randint(1, MOST_TURNS.get(self.kind, 5)), chance.random()
        receiver, sender = PROCESSES.Pipe(duplex=False)
        arguments = (sender, self.path, self.kind, seed, self.bundle, self.source)
        writer = PROCESSES.Process(target=write_until_killed, args=arguments, daemon=True)
        writer.start()
        sender.close()
        under_way, begun = {}, []  # transactions and operations that are not acknowledged
        started = 0.0

        def take(message):
            nonlocal started
            operation = message[1]
            if message[0] == "begin":
                begun.append(operation)
                under_way[operation] = message[2:]
                started = time.perf_counter() if operation == self.kind else started
                return
            begun.remove(operation)
            self._acknowledge(*under_way.pop(operation))
            if operation == self.kind:
                self.seconds.append(time.perf_counter() - started)

        turns += not self.seconds  # how long one takes has to be seen first
        while turns:
            message = receiver.recv()
            take(message)
            turns -= message[:2] == ("begin", self.kind)
        time.sleep(share * statistics.median(self.seconds[-9:]))
        writer.kill()
        writer.join()
        with suppress(EOFError), receiver:
            while True:
                take(receiver.recv())
        writer.close()
        transactions = [effect for effect in under_way.values() if effect != ({}, [])]
        assert len(transactions) <= 1
        faults, outcome = self._settle(*(transactions[0] if transactions else ({}, [])))
        return Kill(faults, share if self.kind in begun else None, outcome if transactions else None)

    def _acknowledge(self, puts, deletes):
        self.truth.update({item_id: self._content(item_id, version) for item_id, version in puts.items()})
        for item_id in deletes:
            del self.truth[item_id]

    def _content(self, item_id, version):
        if version is None:
            return self._pictures[item_id]
        item = drawn_item(item_id, version, self.dim)
        return item.content_hash, pack(item.embedding, self.dim)

    def _settle(self, puts, deletes):
        """See that the catalogue is as it was before or after the transaction that may have been under way."""
        found, before = stored(self.path), dict(self.truth)
        self._acknowledge(puts, deletes)
        faults = []
        if found not in (before, self.truth):
            faults = [
                f"{len(before)} items before, {len(self.truth)} after the last transaction, {len(found)} are there"
            ]
        outcome = "there" if found == self.truth else "absent"
        self.truth = found
        return faults + promises_broken(self.path, found, self.dim), outcome


def stored(path):
    """Content hash and stored vector of each item, by id; None for a vector that is not there."""
    with reading(path) as connection:
        found = connection.execute(
            "SELECT id, content_hash, vector FROM item LEFT JOIN embedding USING (row) WHERE deleted = 0"
        )
        return {item_id: (content_hash, vector) for item_id, content_hash, vector in found}


def promises_broken(path, truth, dim):
    """What `verify` finds, and where a search is not what brute force over the stored vectors finds."""
    report = verify(path, means=None, tell=lambda part, done, total: None)
    faults = [f"{check.name}: {check.examples}" for check in report.checks if check.found and check.kind != "leftover"]
    vectors = dict(zip(truth, unpack([vector for _, vector in truth.values()], dim), strict=True))
    everything = np.stack(list(vectors.values())) if vectors else np.empty((0, dim), np.float32)
    queries = np.random.default_rng(len(truth)).normal(size=(4, dim)).astype(np.float32)
    queries = np.concatenate([queries / np.linalg.norm(queries, axis=1, keepdims=True), everything[:4]])
    with SqliteCatalogue.open(path) as catalogue:
        for query, matches in zip(queries, catalogue.search(queries, k=10), strict=True):
            best = np.sort(everything @ query)[::-1][:10]
            own = [float(vectors[match.id] @ query) if match.id in vectors else None for match in matches]
            scores = [match.score for match in matches]
            if (
                len(scores) != len(best)
                or None in own
                or len({match.id for match in matches}) != len(matches)
                or not np.allclose(scores, best, atol=1e-5)
                or not np.allclose(scores, np.array(own, np.float64), atol=1e-5)
            ):
                faults.append(f"a search found {matches}, brute force {best.tolist()}")
    return faults
