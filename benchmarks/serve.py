"""The server beside the encoder alone, and beside other ways to serve it.

    python benchmarks/serve.py [--parts rate overload memory start] [--rounds N] [--save]

ViT-S/16 at 224 with random weights on all cores of this machine, which the clients share. Parts:

rate      pictures a second and latencies of one picture a request, for 1, 8 and 32 clients that each ask again as soon
          as they are answered, with JPEG of 500 x 375 and of 12 megapixels; in turns with a loop in one process that
          decodes ahead in threads and encodes, with BentoML's own batching, LitServe and plain FastAPI.
          `saturated_over_in_process` is the rate at 32 clients over the loop's, `alone_over_in_process` the median
          latency of one client over that of decoding and encoding one picture; medians over rounds, geometric means
          over the two kinds of pictures. `p99_over_mean` is at 32 clients, whose mean latency is the queueing time.
overload  ten times as many clients as the queue has room for, for a minute: pictures a second that are answered over
          those of 32 clients, what the refusals were, and seconds until a lone request is as fast as before.
memory    resident memory of the worker before and after 20,000 requests (small pictures, tiny encoder).
start     seconds until the first answer, over those of a bare BentoML service.

The last line is one JSON object.
"""

import argparse
import http.client
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image
from random_encoders import tiny_bundle, vit_bundle

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess

HERE = Path(__file__).parent
RESULT = HERE / "results" / "serve.json"
PARTS = ("rate", "overload", "memory", "start")
CLIENTS = (1, 8, 32)
KINDS = {"500x375": (500, 375), "12MP": (4000, 3000)}
NUM_PICTURES = 24
CELL_S = 8.0
BATCH = 8
SERVERS = ("ours", "bentoml", "litserve", "fastapi")


def draw(size):
    """JPEG files that compress about as photographs do."""
    chance = np.random.default_rng(0)
    files = []
    for _ in range(NUM_PICTURES):
        coarse = chance.integers(0, 256, (size[1] // 12, size[0] // 12, 3), dtype=np.uint8)
        data = io.BytesIO()
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
        files.append(data.getvalue())
    return files


def catalogue_of(work, bundle):
    """A catalogue of a few pictures, since `lodisc serve` needs one."""
    photos = work / "photos" / "label"
    photos.mkdir(parents=True)
    for number, data in enumerate(draw((64, 48))[:4]):
        (photos / f"{number}.jpg").write_bytes(data)
    command = [sys.executable, "-m", "lodisc", "index", "build", str(work / "catalogue"), "--quiet"]
    subprocess.run([*command, "--images", str(photos.parent), "--bundle", str(bundle)], check=True, capture_output=True)
    return work / "catalogue"


def command_of(name, bundle, catalogue, port):
    """How a server is started."""
    python = sys.executable
    return {
        "ours": [python, "-m", "lodisc", "serve", str(catalogue), "--port", str(port)],
        "bentoml": [
            *(python, "-m", "bentoml", "serve", "stock_bentoml:Stock", "--port", str(port)),
            *("--working-dir", str(HERE / "reference")),
        ],
        "bare": [
            *(python, "-m", "bentoml", "serve", "bare_bentoml:Bare", "--port", str(port)),
            *("--working-dir", str(HERE / "reference")),
        ],
        "litserve": [python, str(HERE / "reference" / "serving_peers.py"), "litserve", str(bundle), str(port)],
        "fastapi": [python, str(HERE / "reference" / "serving_peers.py"), "fastapi", str(bundle), str(port)],
    }[name]


@contextmanager
def started(name, bundle, catalogue, **settings):
    """A server until the block ends: its port, its process and the seconds until it was ready."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "BUNDLE": str(bundle), "LODISC_CACHE_MB": "0", "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(HERE.parent), **settings,
    }  # fmt: skip
    begun = time.perf_counter()
    process = subprocess.Popen(
        command_of(name, bundle, catalogue, port), env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        while not answers(port):
            if process.poll() is not None or time.perf_counter() - begun > 120:
                raise RuntimeError(f"{name} does not start")
            time.sleep(0.02)
        yield port, process, time.perf_counter() - begun
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def answers(port):
    """Whether the server is ready."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def body_of(data, field):
    """One picture as a form."""
    head = (
        f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    return head.encode() + data + b"\r\n--b--\r\n"


class Client(threading.Thread):
    """Asks again as soon as it is answered, until told to stop."""

    def __init__(self, port, bodies, first, stop):
        super().__init__(daemon=True)
        self.port, self.bodies, self.at, self.stop = port, bodies, first, stop
        self.latencies, self.statuses = [], Counter()

    def run(self):
        """Until `stop`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while not self.stop.is_set():
            begun = time.perf_counter()
            try:
                connection.request(
                    "POST", "/embed", self.bodies[self.at % len(self.bodies)],
                    {"Content-Type": "multipart/form-data; boundary=b"},
                )  # fmt: skip
                answer = connection.getresponse()
                answer.read()
                self.statuses[answer.status] += 1
                if answer.status == 200:
                    self.latencies.append((time.perf_counter(), time.perf_counter() - begun))
                elif answer.status == 429:
                    connection.close()  # as the server would after some idle seconds
                    self.stop.wait(float(answer.headers["Retry-After"]))
            except (OSError, http.client.HTTPException):
                self.statuses["error"] += 1
                connection.close()
            self.at += 7


def load(port, bodies, num_clients, seconds, warm_s=1.5):
    """Rate and latencies of so many clients."""
    stop = threading.Event()
    clients = [Client(port, bodies, number, stop) for number in range(num_clients)]
    for client in clients:
        client.start()
    time.sleep(warm_s)
    begun = time.perf_counter()
    time.sleep(seconds)
    ended = time.perf_counter()
    stop.set()
    for client in clients:
        client.join()
    seen = sorted(one for client in clients for one in client.latencies if begun <= one[0] <= ended)
    at, done = [at for at, _ in seen], [took for _, took in seen]
    statuses = sum((client.statuses for client in clients), Counter())
    return {
        # A slope, not a count: answers come a batch at a time, and a count would depend on where the cell cuts them.
        "per_s": float(np.polyfit(at, range(len(at)), 1)[0]) if len(at) > 1 else len(at) / (ended - begun),
        "p50_ms": 1e3 * statistics.median(done) if done else None,
        "mean_ms": 1e3 * statistics.mean(done) if done else None,
        "p99_ms": 1e3 * float(np.percentile(done, 99)) if done else None,
        "statuses": {str(status): count for status, count in statuses.items()},
    }


class InProcess:
    """The encoder without a server."""

    def __init__(self, bundle):
        self.encoder = ImageEncoder(bundle, num_threads=os.cpu_count())
        self.preprocessing = bundle.manifest.preprocessing

    def pixels(self, data):
        """What the encoder takes."""
        return preprocess(decode_picture(data, min_side_wanted=self.preprocessing.image_size), self.preprocessing)

    def alone(self, files, seconds):
        """Median milliseconds of one picture after another."""
        taken, until = [], time.perf_counter() + seconds
        while time.perf_counter() < until:
            begun = time.perf_counter()
            self.encoder.encode(self.pixels(files[len(taken) % len(files)])[None])
            taken.append(time.perf_counter() - begun)
        return 1e3 * statistics.median(taken)

    def saturated(self, files, seconds):
        """Pictures a second, decoded ahead in threads, encoded in batches."""
        done, begun = 0, time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ahead = [pool.submit(self.pixels, files[at % len(files)]) for at in range(2 * BATCH)]
            while time.perf_counter() - begun < seconds:
                batch, ahead = ahead[:BATCH], ahead[BATCH:]
                ahead += [pool.submit(self.pixels, files[(done + at) % len(files)]) for at in range(BATCH)]
                self.encoder.encode(np.stack([one.result() for one in batch]))
                done += BATCH
            took = time.perf_counter() - begun
            for one in ahead:
                one.cancel()
        return done / took


def measure_rate(work, bundle, catalogue, rounds):
    """All servers in turn with the loop, every round in another order."""
    loop = InProcess(Bundle.open(bundle))
    files = {kind: draw(size) for kind, size in KINDS.items()}
    cells = {}  # (server, kind, clients) -> measurements
    for number in range(rounds):
        order = [*SERVERS[number % len(SERVERS) :], *SERVERS[: number % len(SERVERS)]]
        for name in order:
            with started(name, bundle, catalogue) as (port, _, _):
                for kind in KINDS:
                    bodies = [body_of(data, "images" if name == "ours" else "image") for data in files[kind]]
                    load(port, bodies, 2, 0.5)
                    for clients in CLIENTS:
                        # The loop right before each cell: the speed of a shared machine drifts within a minute.
                        alone = loop.alone(files[kind], CELL_S / 2) if clients == 1 else None
                        saturated = loop.saturated(files[kind], CELL_S / 2)
                        cell = load(port, bodies, clients, CELL_S)
                        cell["over_saturated"] = cell["per_s"] / saturated
                        cell["over_alone"] = cell["p50_ms"] / alone if alone else None
                        cell["p99_over_mean"] = cell["p99_ms"] / cell["mean_ms"]
                        cells.setdefault((name, kind, clients), []).append(cell)
                        print(name, kind, clients, cell, file=sys.stderr, flush=True)
    table, summary = {}, {}
    for (name, kind, clients), found in cells.items():
        table.setdefault(name, {}).setdefault(kind, {})[str(clients)] = {
            key: round(statistics.median(cell[key] for cell in found), 3)
            for key in ("per_s", "p50_ms", "p99_ms", "over_saturated", "over_alone", "p99_over_mean")
            if found[0][key] is not None
        } | {"failed": sum(n for cell in found for status, n in cell["statuses"].items() if status != "200")}
    for name in SERVERS:
        summary[name] = {
            "saturated_over_in_process": over(cells, name, CLIENTS[-1], "over_saturated"),
            "alone_over_in_process": over(cells, name, CLIENTS[0], "over_alone"),
            "p99_over_mean": over(cells, name, CLIENTS[-1], "p99_over_mean"),
        }
    return {"summary": summary, "cells": table, "rounds": rounds}


def over(cells, name, clients, key):
    """Geometric mean over the kinds of the medians over the rounds, with the spread over all."""
    found = {kind: [cell[key] for cell in cells[name, kind, clients]] for kind in KINDS}
    everything = [value for values in found.values() for value in values]
    return {
        "median": round(statistics.geometric_mean(statistics.median(values) for values in found.values()), 3),
        "spread": [round(min(everything), 3), round(max(everything), 3)],
    }


def measure_overload(bundle, catalogue, seconds=60.0, room=32):
    """Ten times as many clients as there is room for."""
    bodies = [body_of(data, "images") for data in draw(KINDS["500x375"])]
    settings = {"LODISC_MAX_QUEUED_PICTURES": str(room), "LODISC_MAX_PICTURES": str(room)}
    with started("ours", bundle, catalogue, **settings) as (port, _, _):
        before = load(port, bodies, 1, CELL_S)["p50_ms"]
        capacity = [load(port, bodies, room // 2, 2 * CELL_S)["per_s"]]
        found = load(port, bodies, 10 * room, seconds)
        begun = time.perf_counter()
        while True:
            lone = load(port, bodies, 1, 0.5, warm_s=0)["p50_ms"]
            back_s = time.perf_counter() - begun
            if (lone is not None and lone < 1.5 * before) or back_s > 30:
                break
        capacity.append(load(port, bodies, room // 2, 2 * CELL_S)["per_s"])
    return {
        "clients": 10 * room, "room": room, "seconds": seconds,
        "goodput_over_capacity": round(found["per_s"] / statistics.mean(capacity), 3),
        "capacity_per_s": [round(one, 2) for one in capacity], "statuses": found["statuses"],
        "p50_ms": round(found["p50_ms"]), "back_to_normal_s": round(back_s, 2),
    }  # fmt: skip


def measure_memory(bundle, catalogue, num_requests=20_000):
    """Resident memory of the worker over many requests, after those that fill its caches."""
    bodies = [body_of(data, "images") for data in draw((160, 120))]
    with started("ours", bundle, catalogue) as (port, process, _):

        def resident_mb():
            return max(
                int((Path("/proc") / pid / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
                for pid in children(process.pid)
            )

        measured = []
        for quota in (2000, num_requests):
            done = 0
            while done < quota:
                found = load(port, bodies, 8, 5.0, warm_s=0)
                done += sum(found["statuses"].values())
            measured.append(resident_mb())
    return {"requests": done, "mb": [round(one, 1) for one in measured], "growth": round(measured[1] / measured[0], 4)}


def children(pid):
    """Of a process, all generations, with itself."""
    found = [str(pid)]
    for one in found:
        for task in (Path("/proc") / one / "task").glob("*"):
            found += (task / "children").read_text().split()
    return found


def measure_start(bundle, catalogue, rounds=5):
    """Seconds until the first answer, in turns with a service of nothing."""
    ours, bare = [], []
    for _ in range(rounds):
        for name, seconds in (("ours", ours), ("bare", bare)):
            with started(name, bundle, catalogue) as (_, _, ready_s):
                seconds.append(ready_s)
    return {
        "ours_s": round(statistics.median(ours), 2), "bare_bentoml_s": round(statistics.median(bare), 2),
        "ready_over_bare": round(statistics.median(a / b for a, b in zip(ours, bare, strict=True)), 3),
    }  # fmt: skip


def main():
    """Measure the parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if set(args.parts) - {"memory"}:
            bundle = vit_bundle(work / "vit-s")
            (work / "large").mkdir()
            catalogue = catalogue_of(work / "large", bundle)
        if "rate" in args.parts:
            result["rate"] = measure_rate(work, bundle, catalogue, args.rounds)
            for key in ("saturated_over_in_process", "alone_over_in_process", "p99_over_mean"):
                result[key] = result["rate"]["summary"]["ours"][key]["median"]
        if "overload" in args.parts:
            result["overload"] = measure_overload(bundle, catalogue)
        if "start" in args.parts:
            result["start"] = measure_start(bundle, catalogue)
        if "memory" in args.parts:
            (work / "small").mkdir()
            small = tiny_bundle(work / "tiny")
            result["memory"] = measure_memory(small, catalogue_of(work / "small", small))
    result["cores"], result["date"] = os.cpu_count(), date.today().isoformat()
    if args.save:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
