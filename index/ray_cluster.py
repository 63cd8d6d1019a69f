"""A Ray cluster for the length of a block: one that runs already, by its address, or processes of this machine.

Processes that are started here are gone when the block ends, however it ends, and leave no files. Ray's own messages,
bars, dashboard and usage reports are off, but for a line about actors' arguments that Ray Data brings upon itself
(ray-project/ray issue 53727). Not covered: installing lodisc on the machines of a cluster.
"""

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from encoder.errors import ClusterError, ConfigError, MissingExtraError

# Read by Ray when it is imported, and when it starts its first process, for which it would wait 30 seconds only.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "60")

try:
    import psutil
    import ray
    import ray.data
except ImportError as error:
    raise MissingExtraError(f"--engine ray needs Ray ({error}): pip install -e '.[ray]'") from error

MAX_LOCAL_ACTORS = 4  # each holds the encoder in memory; see index.division
OBJECT_STORE_BYTES = 1 << 30
# Ray's processes wait 15 to 30 seconds for one another, and not all of these times are settings: a start on a machine
# that is busy for a moment would fail.
START_ATTEMPTS = 3
CONNECT_TIMEOUT_S = 10.0
# If nothing at all is done for so long, other jobs have the cluster, or it is broken.
NO_PROGRESS_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Division:
    """How the cores of a cluster are divided: actors that hold the encoder, and its threads in each."""

    actors: int
    threads: int


@contextmanager
def cluster(address: str | None, *, actors: int | None, num_threads: int | None) -> Iterator[Division]:
    """Be connected to a Ray cluster while the block runs.

    Args:
        address: `host:port` or `auto` of a cluster of which this machine is part, or `ray://host:port`; None to start
            one on this machine.
        actors: processes that hold the encoder; if None, one a core, on this machine at most MAX_LOCAL_ACTORS.
        num_threads: of the encoder in all actors together; as many as there are cores if None.

    Raises:
        ConfigError: there is no cluster at the address.
        ClusterError: it has no room for so many actors, or it failed within the block.
    """
    with ExitStack() as stack:
        if address is None:
            cores = num_threads or os.cpu_count() or 1
            division = _division(cores, actors or min(cores, MAX_LOCAL_ACTORS))
            # Logical cores: reading tasks must find one while all actors are there, or nothing would ever begin.
            logical = max(division.actors * division.threads + 1, os.cpu_count() or 1)
            stack.enter_context(_started(logical))
        else:
            _connect(address)
            stack.callback(ray.shutdown)
            cores = num_threads or _cores()
            division = _division(cores, actors or cores)
            _require_room(address, division)
        _quiet()
        try:
            yield division
        except (ray.exceptions.RayError, ray.data.exceptions.ExecutionTimeoutError, ConnectionError) as error:
            raise ClusterError(f"Ray failed: {_reason(error)}; what is committed stays, run it again") from error


def _division(cores: int, actors: int) -> Division:
    return Division(actors, max(1, cores // actors))


@contextmanager
def _started(logical_cores: int) -> Iterator[None]:
    """Ray's processes on this machine, in a folder of their own.

    Raises:
        ClusterError: they did not start, START_ATTEMPTS times.
    """
    for attempt in range(START_ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="lodisc-ray-", dir="/tmp") as folder:
            try:
                ray.init(
                    address="local", num_cpus=logical_cores, include_dashboard=False, log_to_driver=False,
                    logging_level=logging.ERROR, object_store_memory=OBJECT_STORE_BYTES, _temp_dir=folder,
                )  # fmt: skip
            except Exception as error:  # Ray raises Exception itself when its processes do not find one another
                ray.shutdown()
                _kill_processes_of(folder)
                if attempt + 1 == START_ATTEMPTS:
                    raise ClusterError(f"Ray does not start on this machine: {_reason(error)}") from error
                continue
            try:
                yield
            finally:
                ray.shutdown()
            return


def _kill_processes_of(folder: str) -> None:
    """End what Ray leaves of a start that failed: it knows its processes only once all have started."""
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(folder in argument for argument in process.info["cmdline"] or ())
    ]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=CONNECT_TIMEOUT_S)


def _connect(address: str) -> None:
    """Connect, after a look whether anything listens there: Ray itself may wait for minutes, or abort the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address != "auto":
        if not host or not port.isdecimal():
            raise ConfigError(f"--ray-address {address} is none of host:port, ray://host:port and auto")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
        except (OSError, OverflowError) as error:
            raise ConfigError(f"no Ray cluster answers at {address}: {_reason(error)}") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as error:
        ray.shutdown()
        raise ConfigError(f"no Ray cluster that can be used is at {address}: {_reason(error)}") from error


def _cores() -> int:
    """The cores of a cluster but one, which is left for reading."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)) - 1)


def _require_room(address: str, division: Division) -> None:
    """Ray waits for ever, without a word, for room that no machine has.

    Raises:
        ClusterError: the machines are too few, or too small.
    """
    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    places = sum(cores // division.threads for cores in nodes)
    if places < division.actors or sum(nodes) <= division.actors * division.threads:
        raise ClusterError(
            f"the Ray cluster at {address} has machines of {nodes} cores, no room for {division.actors} actors "
            f"of {division.threads} threads and one core for reading; give fewer --actors or --encoder-threads"
        )


def _quiet() -> None:
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S


def _reason(error: BaseException) -> str:
    """The last line of what a worker or Ray said, which names the cause; the rest is the way there."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
