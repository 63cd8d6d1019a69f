"""A server under more than it can do, with clients that go away, that is told to stop, whose catalogue is exchanged."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pytest
from live_server import LiveServer, serving
from PIL import Image
from served_catalogue import build_served_catalogue, drawn_picture, encoded

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Iterator[LiveServer]:
    settings = {"LODISC_MAX_QUEUED_PICTURES": "8", "LODISC_MAX_PICTURES": "8", "LODISC_MAX_BATCH": "1"}
    log = tmp_path_factory.mktemp("log") / "log.txt"
    with serving(catalogue, log, environment=settings) as started:
        yield started


@cache
def large_picture(seed: int) -> bytes:
    """Takes some 50 ms to decode, little to send."""
    return encoded(drawn_picture((90, 160, 60), seed, (80, 60)).resize((2400, 1800), Image.Resampling.NEAREST))


def metric(server: LiveServer, name: str) -> float:
    for line in httpx.get(f"{server.url}/metrics", trust_env=False).text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def test_what_is_too_much_is_refused_with_429_and_the_rest_is_answered(server: LiveServer) -> None:
    pictures = [large_picture(seed) for seed in range(4)]
    answers: list[httpx.Response] = []

    def ask(number: int) -> None:
        files = [("images", (f"{n}.png", pictures[(number + n) % 4])) for n in range(4)]
        answers.append(httpx.post(f"{server.url}/embed", files=files, timeout=60, trust_env=False))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, range(24)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["error"]["code"] == "overloaded"
            assert 1 <= int(answer.headers["Retry-After"]) <= 30
        else:
            assert all("embedding" in result for result in answer.json()["results"])
    assert metric(server, "lodisc_pictures_in_flight") == 0
    assert metric(server, 'lodisc_refusals_total{code="overloaded"}') == statuses[429]


def test_the_work_for_a_client_that_went_away_is_dropped(server: LiveServer) -> None:
    address = server.url.removeprefix("http://").split(":")
    boundary = b"b0undary"
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="images"; filename="%d.png"\r\n\r\n%b\r\n'
        % (boundary, seed, large_picture(100 + seed))
        for seed in range(5)
    )
    body += b"--%b--\r\n" % boundary
    gone_before = metric(server, 'lodisc_refusals_total{code="client_gone"}')
    with socket.create_connection((address[0], int(address[1]))) as connection:
        head = "POST /embed HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b0undary\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.02)
    deadline = time.monotonic() + 20
    while metric(server, 'lodisc_refusals_total{code="client_gone"}') == gone_before:
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.05)
    assert metric(server, "lodisc_pictures_in_flight") == 0


def test_a_request_that_takes_too_long_is_given_up(catalogue: Path, tmp_path: Path) -> None:
    with serving(
        catalogue, tmp_path / "log.txt", environment={"LODISC_DEADLINE_S": "0.2", "LODISC_CACHE_MB": "0"}
    ) as server:
        files = [("images", (f"{seed}.png", large_picture(200 + seed))) for seed in range(20)]
        answer = httpx.post(f"{server.url}/embed", files=files, timeout=60, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "deadline_passed")
        answer = httpx.post(f"{server.url}/search", json={"item_id": "Rubra/rosso/0.png"}, trust_env=False)
        assert answer.status_code == 200


def test_a_known_picture_is_not_encoded_again(server: LiveServer) -> None:
    data = encoded(drawn_picture((10, 20, 200), 77))
    hits = metric(server, 'lodisc_cache_total{outcome="hit"}')
    first, again = (
        httpx.post(f"{server.url}/embed", files={"images": ("a.png", data)}, trust_env=False).json()["results"]
        for _ in range(2)
    )
    assert first == again
    assert metric(server, 'lodisc_cache_total{outcome="hit"}') == hits + 1
    with_attention = httpx.post(
        f"{server.url}/embed?attention=true", files={"images": ("a.png", data)}, trust_env=False
    )
    assert len(with_attention.json()["results"][0]["attention"]["scores"]) > 1


def test_the_cache_can_be_switched_off(catalogue: Path, tmp_path: Path) -> None:
    with serving(catalogue, tmp_path / "log.txt", environment={"LODISC_CACHE_MB": "0"}) as server:
        for _ in range(2):
            files = {"images": ("a.png", encoded(drawn_picture((10, 20, 200), 77)))}
            assert httpx.post(f"{server.url}/embed", files=files, trust_env=False).status_code == 200
        assert "lodisc_cache_total{" not in httpx.get(f"{server.url}/metrics", trust_env=False).text


def test_told_to_stop_it_first_says_so_and_loses_no_acknowledged_write(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path
) -> None:
    folder = tmp_path_factory.mktemp("drained")
    catalogue = build_served_catalogue(folder, tiny_bundle)
    acknowledged: list[str] = []
    problems: list[str] = []
    with serving(catalogue, folder / "log.txt", "--allow-writes", environment={"LODISC_DRAIN_S": "1.5"}) as server:

        def write(thread: int) -> None:
            with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
                for number in range(10_000):
                    name = f"new/{thread}/{number}"
                    files = {"image": ("a.png", encoded(drawn_picture((thread, 90, number % 256), number)))}
                    try:
                        status = client.put(f"/items/{name}", files=files).status_code
                    except httpx.TransportError:
                        return  # the door is closed
                    if status == 200:
                        acknowledged.append(name)
                    elif status != 503:
                        problems.append(f"{name}: {status}")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        server.process.terminate()
        said_no = False
        while server.process.poll() is None:
            try:
                said_no |= httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 503
            except httpx.TransportError:
                break
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        assert server.stop() == 0
    assert said_no
    assert problems == []
    assert len(acknowledged) > 10
    listed = subprocess.run(
        [sys.executable, "-m", "lodisc", "index", "list", str(catalogue)],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(acknowledged) <= set(listed.stdout.splitlines())


def test_another_catalogue_with_another_encoder_takes_over_without_a_failed_request(
    tmp_path: Path, tiny_bundle: Path, other_bundle: Path
) -> None:
    blue = build_served_catalogue(tmp_path / "blue", tiny_bundle)
    green = build_served_catalogue(tmp_path / "green", other_bundle)
    current = tmp_path / "current"
    current.symlink_to(blue)
    picture = encoded(drawn_picture((200, 40, 40), 3))
    models: list[str] = []
    problems: list[str] = []
    stop = threading.Event()
    with serving(current, tmp_path / "log.txt") as server:

        def ask() -> None:
            with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
                while not stop.is_set():
                    answer = client.post("/search", files={"images": ("a.png", picture)}, data={"k": "1"})
                    if answer.status_code != 200:
                        problems.append(answer.text)
                        continue
                    document = answer.json()
                    models.append(document["model"]["id"])
                    if document["matches"][0]["id"] != "Rubra/rosso/3.png" or document["matches"][0]["score"] < 0.99:
                        problems.append(answer.text)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for target in (green, blue):
                time.sleep(0.3)
                begun = time.monotonic()
                while not models:  # a busy machine has not answered once yet
                    assert time.monotonic() < begun + 20, server.log()
                    time.sleep(0.05)
                before = models[-1]
                (tmp_path / "next").symlink_to(target)
                (tmp_path / "next").replace(current)
                while models[-1] == before:
                    assert time.monotonic() < begun + 20, server.log()
                    time.sleep(0.05)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert problems == []
        assert len(set(models)) == 2
        changes = int(np.sum(np.array(models[1:]) != np.array(models[:-1])))
        assert changes >= 2
        # One that cannot be served changes nothing.
        broken = tmp_path / "broken"
        shutil.copytree(blue, broken)
        (broken / "catalogue.sqlite").write_bytes(b"no database")
        (tmp_path / "next").symlink_to(broken)
        (tmp_path / "next").replace(current)
        deadline = time.monotonic() + 20
        while metric(server, 'lodisc_swaps_total{outcome="failed"}') < 1:
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.1)
        assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200
