"""`lodisc.client` and the commands that use it, against a server that is really started."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from live_server import serving
from PIL import Image
from served_catalogue import COLOURS, SPECIMENS, build_served_catalogue, drawn_picture, encoded

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from encoder.image_encoder import ImageEncoder
from lodisc.client import (
    AnswerError,
    AsyncClient,
    Client,
    ItemNotFoundError,
    PictureEmbedding,
    PictureProblem,
    PicturesRefusedError,
    ServerUnreachableError,
)

PROJECT = Path(__file__).parents[2]
RED = drawn_picture(COLOURS["Rubra/rosso"], 99)
# What a URL must escape, what a path would lose on its way, and what looks like another route.
ODD_IDS = ("new/what? #1%41.png", "a/../b", "./c", "..", "a//b", "naïve/☃", "x/thumbnail/y")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_bundle):
    folder = tmp_path_factory.mktemp("client")
    build_served_catalogue(folder, tiny_bundle)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with serving(folder / "catalogue", folder / "log", "--allow-writes") as server:
        yield server


@pytest.fixture
def client(server):
    with Client(server.url) as client:
        yield client


def test_embed_gives_what_the_encoder_gives(client, tiny_bundle):
    encoder = ImageEncoder(Bundle.open(tiny_bundle))
    pictures = [encoded(drawn_picture(colour, seed)) for seed, colour in enumerate(COLOURS.values())]
    answer = client.embed(pictures, attention=True)
    assert answer.model.id == encoder.manifest.id
    assert answer.embeddings.dtype == np.float32
    assert answer.embeddings.shape == (len(pictures), answer.model.dim)
    for one, own in zip(answer.results, encoder.encode_pictures(pictures, attention=True), strict=True):
        assert isinstance(one, PictureEmbedding)
        assert np.abs(one.embedding_D - own.embedding_BD[0]).max() < 1e-5
        assert np.abs(one.attention.scores_P - own.attention_BP[0]).max() < 1e-5
        assert np.prod(one.attention.grid) == len(one.attention.scores_P)


def test_a_bad_picture_is_told_by_position(client):
    answer = client.embed([RED, b"no picture", RED])
    good, bad, again = answer.results
    assert isinstance(bad, PictureProblem)
    assert (bad.position, bad.code) == (1, "unsupported_format")
    assert np.array_equal(good.embedding_D, again.embedding_D)
    with pytest.raises(AnswerError, match="picture 1"):
        _ = answer.embeddings
    with pytest.raises(PicturesRefusedError) as refused:
        client.embed([b"no picture", b""])
    assert [one.position for one in refused.value.pictures] == [0, 1]
    assert (refused.value.status, refused.value.exit_code) == (422, 2)


def test_search_in_each_of_its_spellings(client, folder):
    by_picture = client.search(RED, k=3)
    assert len(by_picture.matches) == 3
    assert by_picture.prediction.label == "rosso"
    assert by_picture.matches[0].labels == {"species": "rosso", "genus": "Rubra"}
    path = folder / "photos/Rubra/rosso/0.png"
    assert client.search(path).matches[0].id == "Rubra/rosso/0.png"
    vector_D = client.embed(path).embeddings[0]
    for vector in (vector_D, vector_D.tolist(), 7 * vector_D):
        by_vector = client.search(embedding=vector, k=1)
        assert by_vector.matches[0].score == pytest.approx(1, abs=1e-3)
    by_item = client.search(item_id="Rubra/rosso/0.png", k=20, filter='genus == "Rubra"')
    assert "Rubra/rosso/0.png" not in {match.id for match in by_item.matches}
    assert len(by_item.matches) == 2 * SPECIMENS - 1
    several = client.search([RED, b"no picture", path], k=2)
    assert [problem.position for problem in several.problems] == [1]
    with pytest.raises(ConfigError):
        client.search(RED, item_id="a")
    with pytest.raises(ConfigError):
        client.search()
    with pytest.raises(AnswerError) as refused:
        client.search(RED, filter="genus ==")
    assert (refused.value.status, refused.value.code, refused.value.exit_code) == (400, "invalid_filter", 2)
    assert "position" in refused.value.detail


def test_items_come_back_as_they_were_put(client):
    for item_id in ODD_IDS:
        item = client.put_item(item_id, RED, labels={"species": "ünder"}, metadata={"year": 1999, "by": "x"})
        assert client.get_item(item_id) == item
        assert (item.id, item.labels, item.metadata) == (item_id, {"species": "ünder"}, {"year": 1999, "by": "x"})
        picture = client.thumbnail(item_id)
        assert Image.open(BytesIO(picture.content)).size
        assert client.thumbnail(item_id, etag=picture.etag) is None
        assert client.delete_item(item_id) is True
        assert client.delete_item(item_id) is False
        with pytest.raises(ItemNotFoundError):
            client.get_item(item_id)
    with pytest.raises(PicturesRefusedError) as refused:
        client.put_item("a", b"no picture")
    assert [one.position for one in refused.value.pictures] == [0]


def test_all_pages(client):
    found = [item.id for item in client.items(page_size=3)]
    assert len(found) == len(set(found)) == len(COLOURS) * SPECIMENS
    rubra = [item.id for item in client.items(filter='genus == "Rubra"', page_size=5)]
    assert rubra == [item_id for item_id in found if item_id.startswith("Rubra/")]
    assert client.stats().num_items == len(found)
    assert client.stats().ranks == ("species", "genus")


def test_the_async_client_does_the_same(client, server):
    async def ask():
        async with AsyncClient(server.url) as other:
            answers = await asyncio.gather(*(other.search(RED, k=2) for _ in range(8)))
            embedded = await other.embed([RED, b"no picture"])
            listed = [item async for item in other.items(page_size=3)]
            put = await other.put_item("async", RED)
            assert await other.delete_item("async")
            return answers, embedded, listed, put, await other.stats(), await other.ready()

    answers, embedded, listed, put, stats, ready = asyncio.run(ask())
    own = client.search(RED, k=2)
    assert all(answer.matches == own.matches and answer.prediction == own.prediction for answer in answers)
    assert np.array_equal(embedded.results[0].embedding_D, client.embed(RED).embeddings[0])
    assert embedded.problems[0].position == 1
    assert listed == list(client.items())
    assert put.id == "async"
    assert stats.model == client.stats().model
    assert ready.ready


def lodisc(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lodisc", *map(str, words)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_labels_of_a_rank_are_values(client, server):
    species = Counter(name.split("/")[1] for name in COLOURS)
    page = client.labels("species", limit=1000)
    assert {one.label: one.items for one in page.labels} == {name: num * SPECIMENS for name, num in species.items()}
    assert (page.rank, page.total) == ("species", len(species))
    assert [one.label for one in client.labels("genus", prefix="RU").labels] == ["Rubra"]
    first = client.labels("species", limit=1)
    assert (len(first.labels), first.total) == (1, len(species))
    with pytest.raises(AnswerError, match="no item has a label of the rank"):
        client.labels("family")

    async def asked():
        async with AsyncClient(server.url) as awaited:
            return await awaited.labels("genus")

    assert asyncio.run(asked()).labels == client.labels("genus").labels


def test_search_on_the_command_line(server, folder, tmp_path):
    path = folder / "photos/Rubra/rosso/0.png"
    asked = lodisc("search", "--server", server.url, path, "-k", 4, "--json")
    assert asked.returncode == 0, asked.stderr
    document = json.loads(asked.stdout)
    own = json.loads(lodisc("search", folder / "catalogue", path, "-k", 4, "--json").stdout)
    assert [match["id"] for match in document["matches"]] == [match["id"] for match in own["matches"]]
    assert "total" in document["timing_ms"]  # which only a server has
    table = lodisc("search", "--server", server.url, path, "--filter", 'genus == "Rubra"')
    assert "rosso" in table.stdout
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    mistakes = {
        "position": (tmp_path / "broken.png",),
        "--variant": (path, "--variant", "int8"),
        "--key-file": (path, "--key-file", tmp_path / "key"),
        "CATALOGUE": (folder / "catalogue", path),
        "does not exist": (tmp_path / "gone.png",),
    }
    for word, words in mistakes.items():
        done = lodisc("search", "--server", server.url, *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert word in done.stderr or word == "position"
    done = lodisc("search", "--server", "http://127.0.0.1:9", path)
    assert done.returncode == 1
    assert "did not answer" in done.stderr


def test_the_key_reaches_the_server(folder, tmp_path):
    """Against a listener that keeps the head of what it is sent: a server that has no keys ignores one."""
    heads = []

    async def answer(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    async def listen():
        (tmp_path / "key.txt").write_text("lodisc_from_the_file\n")
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            path = folder / "photos/Rubra/rosso/0.png"
            for flags in (("--key-file", tmp_path / "key.txt"), ()):
                ask = ("search", "--server", url, path, *flags)
                done = await asyncio.to_thread(lambda ask=ask: lodisc(*ask, LODISC_API_KEY="lodisc_of_the_shell"))
                assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr

    asyncio.run(listen())
    keys = [line for head in heads for line in head.decode().split("\r\n") if line.startswith("Authorization")]
    assert keys == ["Authorization: Bearer lodisc_from_the_file", "Authorization: Bearer lodisc_of_the_shell"]


def test_a_server_may_be_started_where_a_key_is_set(folder, tmp_path):
    with serving(folder / "catalogue", tmp_path / "log", environment={"LODISC_API_KEY": "lodisc_x"}) as server:
        with Client(server.url) as client:
            assert client.ready().ready
        url = server.url
    with Client(url) as client, pytest.raises(ServerUnreachableError):
        client.stats()
