"""Bulk indexing by Ray: the same catalogue as by the threads of one process."""

import gc
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from pictures import drawn, file_bytes, write_picture_folder

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from encoder.image_encoder import ImageEncoder
from index.build import build, fill, open_for_build
from index.sources.reading import read_source

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")

from index import ray_engine  # noqa: E402
from index.ray_cluster import cluster  # noqa: E402
from index.ray_engine import RayEngine  # noqa: E402
from lodisc.cli import main  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),  # Ray's own sockets and log files
    pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def division():
    paths = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), *([paths] if paths else [])])
    try:
        with cluster(None, actors=2, num_threads=2) as division:
            gc.collect()  # processes of a start that failed would warn within another test
            yield division
    finally:
        os.environ.pop("PYTHONPATH") if paths is None else os.environ.update(PYTHONPATH=paths)


@pytest.fixture
def index(tmp_path, tiny_bundle, division):
    bundle = Bundle.open(tiny_bundle)

    def run(source, keep_taken=False, **options):
        with open_for_build(tmp_path / "by_ray", bundle) as catalogue:
            engine = RayEngine(catalogue, bundle, "fp32", division, batch_size=4, keep_taken=keep_taken)
            return fill(catalogue, engine, read_source(source), quiet=True, **options)

    run.path, run.bundle = tmp_path / "by_ray", bundle
    return run


@pytest.fixture
def mixed_folder(tmp_path):
    """Twelve pictures, a copy of one, a broken one and its copy."""
    folder = write_picture_folder(tmp_path / "photos")
    first = sorted(folder.rglob("*.png"))[0]
    shutil.copy(first, folder / "copy.png")
    for name in ("broken.png", "broken_too.png"):
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


def everything(path, bundle):
    with open_for_build(path, bundle) as catalogue:
        return {
            item_id: (catalogue.get(item_id), catalogue.embedding(item_id).tobytes(), catalogue.thumbnail(item_id))
            for item_id in catalogue.ids()
        }


def test_the_catalogue_is_that_of_the_local_engine(index, mixed_folder, tmp_path):
    report = index(mixed_folder)
    with open_for_build(tmp_path / "by_threads", index.bundle) as catalogue:
        expected = build(catalogue, ImageEncoder(index.bundle, num_threads=1), read_source(mixed_folder), quiet=True)
    assert everything(index.path, index.bundle) == everything(tmp_path / "by_threads", index.bundle)
    for field in ("total", "encoded", "reused", "relabelled", "unchanged", "num_rejected"):
        assert getattr(report, field) == getattr(expected, field), field
    assert (report.encoded, report.reused, report.num_rejected) == (12, 1, 2)
    assert sorted(report.rejected) == sorted(expected.rejected)
    assert (index.path / "rejected.csv").is_file()


def test_the_next_run_encodes_only_what_is_new(index, mixed_folder):
    index(mixed_folder)
    changed = sorted(mixed_folder.rglob("*.png"))[-1]
    changed.write_bytes(file_bytes(drawn((9, 200, 30), 77)))
    moved = mixed_folder / "another_label" / "moved.png"
    moved.parent.mkdir()
    gone = sorted(path for path in mixed_folder.rglob("*.png") if path.parent != mixed_folder)[1]
    gone.rename(moved)
    report = index(mixed_folder, prune=True)
    assert (report.encoded, report.reused, report.unchanged, report.not_in_source) == (1, 1, 11, 1)
    with open_for_build(index.path, index.bundle) as catalogue:
        assert catalogue.get(gone.relative_to(mixed_folder).as_posix()) is None
        assert catalogue.get("another_label/moved.png").labels == {"label": "another_label"}


def test_a_source_is_gone_through_in_windows(index, mixed_folder, monkeypatch):
    monkeypatch.setattr(ray_engine, "WINDOW", 8)
    report = index(mixed_folder)
    assert (report.total, report.encoded, report.reused, report.num_rejected) == (15, 12, 1, 2)
    assert len(everything(index.path, index.bundle)) == 13


def test_a_source_beside_others_replaces_no_item_of_theirs(index, tmp_path):
    for name, seed in (("day1", 1), ("day2", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "IMG_0.png").write_bytes(file_bytes(drawn((10, 200, 30), seed)))
    index(tmp_path / "day1")
    report = index(tmp_path / "day2", prune=None, keep_taken=True)
    assert (report.encoded, report.num_rejected, report.num_id_taken) == (0, 1, 1)
    assert everything(index.path, index.bundle)["IMG_0.png"][0].source == str(tmp_path / "day1" / "IMG_0.png")


def test_pictures_within_tables_are_sent(index, mixed_folder, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    files = sorted(mixed_folder.rglob("*.png"))
    table = pa.table(
        {"id": [file.name + str(n) for n, file in enumerate(files)], "image": [f.read_bytes() for f in files]}
    )
    pq.write_table(table, tmp_path / "pictures.parquet")
    report = index(tmp_path / "pictures.parquet")
    assert (report.encoded, report.reused, report.num_rejected) == (12, 1, 2)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense"])
def test_an_address_without_a_cluster_is_refused(address):
    with (
        pytest.raises(ConfigError, match=r"no Ray cluster answers|is none of"),
        cluster(address, actors=None, num_threads=None),
    ):
        pass


def ray_processes():
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            if b"lodisc-ray-" in (folder / "cmdline").read_bytes():
                found.add(folder.name)
    return found


def test_the_command_leaves_nothing_behind(picture_folder, tiny_bundle, tmp_path):
    folders, processes = set(Path("/tmp").glob("lodisc-ray-*")), ray_processes()  # of the cluster above
    command = [sys.executable, "-m", "lodisc", "index", "build", str(tmp_path / "catalogue"), "--quiet"]
    command += ["--images", str(picture_folder), "--bundle", str(tiny_bundle), "--engine", "ray", "--actors", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if "issues/53727" not in line]  # see index.ray_cluster
    assert (done.returncode, told) == (0, [])
    assert "12 encoded" in done.stdout
    assert set(Path("/tmp").glob("lodisc-ray-*")) == folders
    assert processes
    assert ray_processes() <= processes


START_THAT_FAILS_AT_FIRST = """
import os, ray, ray.data
from index import ray_cluster

init = ray.init
waits = iter({waits})


def impatient(**options):
    os.environ["RAY_gcs_server_port_wait_time_s"] = next(waits)
    return init(**options)


ray.init = impatient
with ray_cluster.cluster(None, actors=1, num_threads=1):
    print("started", list(waits))
"""


def start(waits):
    folders, processes = set(Path("/tmp").glob("lodisc-ray-*")), ray_processes()
    script = START_THAT_FAILS_AT_FIRST.format(waits=waits)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert set(Path("/tmp").glob("lodisc-ray-*")) <= folders
    assert ray_processes() <= processes
    return done


def test_a_start_that_takes_too_long_is_tried_again():
    done = start(["0", "60", "never"])
    assert (done.returncode, done.stdout) == (0, "started ['never']\n")


def test_a_start_that_takes_too_long_each_time_is_told():
    done = start(["0", "0", "0"])
    assert done.returncode == 1
    assert "encoder.errors.ClusterError: Ray does not start on this machine: Timed out" in done.stderr


def test_arguments_of_the_other_engine_are_refused(picture_folder, tiny_bundle, tmp_path):
    command = [sys.executable, "-m", "lodisc", "index", "build", str(tmp_path / "catalogue")]
    command += ["--images", str(picture_folder), "--bundle", str(tiny_bundle), "--actors", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("lodisc: error: --ray-address and --actors belong to --engine ray\n")


def test_fresh_with_a_cluster_that_is_not_there_throws_nothing_away(picture_folder, tiny_bundle, tmp_path, capsys):
    build_it = ["index", "build", str(tmp_path / "c"), "--images", str(picture_folder), "--bundle", str(tiny_bundle)]
    assert main([*build_it, "--quiet"]) == 0
    assert main([*build_it, "--quiet", "--fresh", "--engine", "ray", "--ray-address", "127.0.0.1:1"]) == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in capsys.readouterr().err
    with open_for_build(tmp_path / "c", Bundle.open(tiny_bundle)) as catalogue:
        assert catalogue.count() == 12
