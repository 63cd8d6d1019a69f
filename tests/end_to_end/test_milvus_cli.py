"""The commands and the server over a catalogue whose items are in Milvus, embedded."""

import json
from concurrent import futures
from dataclasses import dataclass
from io import BytesIO

import httpx
import numpy as np
import pytest
from live_server import serving
from milvus_lite_store import create_lite, lite_address, needs_milvus
from pictures import file_bytes
from PIL import Image
from tiny_encoder import DIM

from encoder.bundle import Bundle
from encoder.errors import CatalogueError, CatalogueNotFoundError, MissingExtraError, SchemaVersionError
from index.build import open_for_build
from index.items import NewItem
from index.open_catalogue import open_catalogue
from index.schema import DATABASE_NAME
from lodisc.cli import main

pytestmark = needs_milvus


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def lodisc(capsys):
    """The command, in this process: starting one for each would take most of the time."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def built(lodisc, tmp_path, picture_folder, tiny_bundle):
    done = lodisc(
        "index", "build", tmp_path / "c", "--images", picture_folder, "--bundle", tiny_bundle, "--ranks", "colour",
        "--store", f"milvus-lite:{tmp_path}/items.db", "--quiet",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return tmp_path / "c"


def test_every_command_finds_the_store(lodisc, built, picture_folder, tiny_bundle, other_bundle):
    assert json.loads((built / "store.json").read_text()) == {"store": f"milvus-lite:{built.parent}/items.db"}
    assert not (built / DATABASE_NAME).exists()
    green = lodisc("index", "list", built, "--filter", 'colour == "green"').stdout.split("\n")
    assert "green/1.png" in green
    assert all(item_id.startswith("green/") for item_id in green if item_id)
    found = lodisc("search", built, picture_folder / "green" / "1.png", "-k", 2, "--json")
    assert json.loads(found.stdout)["matches"][0]["id"] == "green/1.png"
    assert lodisc("index", "remove", built, "green/1.png").stdout == "removed 1 of 1 items\n"
    again = lodisc("index", "add", built, "--images", picture_folder, "--json")
    report = json.loads(again.stdout)
    assert (report["encoded"], report["unchanged"]) == (1, report["total"] - 1 - report["num_rejected"])
    stats = lodisc("index", "stats", built)
    assert (stats.returncode, stats.stderr) == (0, "")
    assert "store       milvus-lite:" in stats.stdout
    for refused, told in (
        (lodisc("index", "compact", built), "looks after its index"),
        (lodisc("index", "add", built, "--images", picture_folder, "--exact"), "leave them out"),
        (lodisc("index", "build", built, "--images", picture_folder, "--bundle", other_bundle), "--fresh"),
        (
            lodisc(
                "index",
                "build",
                built,
                "--images",
                picture_folder,
                "--bundle",
                tiny_bundle,
                "--store",
                "milvus://h:1/x",
            ),
            "choose another folder",
        ),
    ):
        assert refused.returncode == 2
        assert told in refused.stderr
        assert refused.stderr.count("\n") == 1
    anew = lodisc("index", "build", built, "--images", picture_folder, "--bundle", other_bundle, "--fresh", "--json")
    assert json.loads(anew.stdout)["encoded"] == report["total"] - report["num_rejected"]


def test_what_milvus_cannot_hold_costs_one_row_and_a_large_thumbnail_nothing(
    lodisc, tmp_path, picture_folder, tiny_bundle
):
    noise = np.random.default_rng(0).integers(0, 256, (260, 260, 3), dtype=np.uint8)
    (picture_folder / "noise.png").write_bytes(file_bytes(Image.fromarray(noise)))
    told = {"red/0.png": "", "red/1.png": "x" * 70_000, "red/2.png": "", "noise.png": ""}
    rows = "".join(f"photos/{name},{text}\n" for name, text in told.items())
    (tmp_path / "list.csv").write_text(f"path,told\n{rows}")
    done = lodisc(
        "index", "build", tmp_path / "c", "--images", tmp_path / "list.csv", "--bundle", tiny_bundle,
        "--store", f"milvus-lite:{tmp_path}/items.db", "--json",
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert (done.returncode, report["total"], report["encoded"], report["num_rejected"]) == (0, 4, 3, 1)
    ((location, reason),) = report["rejected"]
    assert location == str(picture_folder / "red" / "1.png")
    assert "its labels, metadata and source take 7" in reason
    with open_catalogue(tmp_path / "c") as catalogue:
        assert sorted(catalogue.ids()) == ["photos/noise.png", "photos/red/0.png", "photos/red/2.png"]
        assert Image.open(BytesIO(catalogue.thumbnail("photos/noise.png"))).size == (256, 256)


def test_a_server_over_it(lodisc, built, picture_folder, tmp_path):
    picture = (picture_folder / "green" / "1.png").read_bytes()
    with (
        serving(built, tmp_path / "log.txt", "--allow-writes") as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http,
    ):
        asked = {"images": ("x.png", picture)}
        assert http.post("/search", files=asked).json()["matches"][0]["id"] == "green/1.png"
        put = http.put("/items/new/é", files={"image": ("x.png", picture)}, data={"labels": '{"colour": "lime"}'})
        assert put.status_code == 200
        found = http.post("/search", files=asked, data={"filter": 'colour == "lime"'}).json()
        assert [match["id"] for match in found["matches"]] == ["new/é"]
        assert found["matches"][0]["score"] == pytest.approx(1, abs=1e-3)
        assert http.get("/items/new/é/thumbnail").content.startswith(b"RIFF")
        busy = lodisc("index", "list", built)
        assert (busy.returncode, busy.stderr.count("\n")) == (2, 1)
        assert "open in another process" in busy.stderr
        assert http.delete("/items/new/é").status_code == 204
        assert http.post("/search", files=asked, data={"filter": 'colour == "lime"'}).json()["matches"] == []
        assert http.get("/stats").json()["catalogue"]["snapshot_kind"] is None


def test_what_is_wrong_with_a_server_is_told_in_one_line(lodisc, tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "store.json").write_text('{"store": "milvus://127.0.0.1:1/photos"}')
    done = lodisc("index", "stats", folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "milvus://127.0.0.1:1/photos cannot be reached" in done.stderr
    (folder / "store.json").write_text("{}")
    assert "store.json cannot be read" in lodisc("index", "stats", folder).stderr


def test_starting_anew_takes_the_calibration_away_only_once_the_server_answered(tmp_path, tiny_bundle):
    folder, bundle = tmp_path / "c", Bundle.open(tiny_bundle)
    calibration = folder / "calibration.json"
    with open_for_build(folder, bundle, store=f"milvus-lite:{tmp_path / 'items.db'}"):
        calibration.write_text("{}")
    store = (folder / "store.json").read_text()
    (folder / "store.json").write_text('{"store": "milvus://127.0.0.1:1/photos"}')
    with pytest.raises(CatalogueError, match="cannot be reached"):
        open_for_build(folder, bundle, fresh=True)
    assert calibration.exists()
    (folder / "store.json").write_text(store)
    with open_for_build(folder, bundle, fresh=True):
        assert not calibration.exists()


def test_missing_newer_and_foreign_collections_are_told_apart(tmp_path, tiny_bundle):
    from index.milvus.client import connect, disconnect
    from index.milvus.opening import open_in_milvus

    folder = tmp_path / "c"
    address = lite_address(folder)
    old = create_lite(folder, tiny_bundle)
    client = connect(address)
    for properties, error, told in (
        ({"lodisc.schema": "99"}, SchemaVersionError, "update lodisc"),
        ({"lodisc.schema": "x"}, CatalogueError, "did not make"),
    ):
        client.alter_collection_properties(address.collection, properties)
        with pytest.raises(error, match=told):
            open_in_milvus(folder, address)
    client.drop_collection(address.collection)
    with pytest.raises(CatalogueNotFoundError, match="lodisc index build"):
        open_in_milvus(folder, address)
    with pytest.raises(CatalogueNotFoundError, match="--fresh"):
        old.get("x")
    disconnect(client, address)
    old.close()


def test_a_server_address_opens_what_a_server_holds(tmp_path, tiny_bundle):
    """Milvus Lite listens on a port as a server does."""
    from milvus_lite.server_manager import server_manager_instance

    folder = tmp_path / "c"
    with create_lite(folder, tiny_bundle) as embedded:
        host = server_manager_instance.start_and_get_uri(embedded.address.uri).removeprefix("http://")
        (folder / "store.json").write_text(json.dumps({"store": f"milvus://{host}/catalogue"}))
        with open_catalogue(folder) as remote:
            assert remote.count() == 0
            assert remote.manifest == embedded.manifest
        (folder / "store.json").write_text(json.dumps({"store": f"milvus://{host}/another"}))
        with pytest.raises(CatalogueNotFoundError, match=r"another holds no catalogue"):
            open_catalogue(folder)


def test_a_refused_token_is_told_and_not_shown(lodisc, tmp_path, monkeypatch):
    """A server that refuses every call, as Milvus does without the right token."""
    import grpc

    class Refusing(grpc.GenericRpcHandler):
        def service(self, details):
            def refuse(request, context):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check api key is correct")

            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Refusing()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        (tmp_path / "store.json").write_text(json.dumps({"store": f"milvus://127.0.0.1:{port}/photos"}))
        monkeypatch.setenv("LODISC_MILVUS_TOKEN", "root:secret")
        done = lodisc("index", "stats", tmp_path)
    finally:
        server.stop(None).wait()
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "set LODISC_MILVUS_TOKEN" in done.stderr
    assert "secret" not in done.stderr


def test_a_collection_made_anew_takes_nothing_from_who_had_the_older_one_open(tmp_path, tiny_bundle):
    with create_lite(tmp_path / "c", tiny_bundle) as old, create_lite(tmp_path / "c", tiny_bundle, fresh=True) as new:
        with pytest.raises(CatalogueError):
            old.put([an_item("a")])
        new.put([an_item("b")])
        assert list(new.ids()) == ["b"]


def test_without_the_client_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "store.json").write_text('{"store": "milvus://127.0.0.1:1/photos"}')
    monkeypatch.setattr("index.open_catalogue.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[milvus\]'"):
        open_catalogue(tmp_path)


def an_item(item_id):
    vector = np.eye(DIM, dtype=np.float32)[0]
    return NewItem(
        id=item_id, labels={}, metadata={}, source="", content_hash="", embedding=vector, thumbnail=b"thumbnail"
    )
