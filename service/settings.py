"""What a serving process is told: the one place of the project's online half where the environment is read.

`lodisc serve`, `bentoml serve` and a built Bento all start the same process, so the environment is how each
of them says which catalogue to serve. Every field has a variable of the same name: `catalogue` is
`LODISC_CATALOGUE`, `max_body_bytes` is `LODISC_MAX_BODY_BYTES`. An empty variable counts as not set.

Not covered: host, port and number of workers, which belong to whoever starts the process.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from encoder.errors import ConfigError

PREFIX = "LODISC_"
ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
# Of others that may run in the same shell: `lodisc search --server`, and `index.milvus.client`, which reads its token
# where it is used so that nobody else holds it.
OF_OTHERS = frozenset({"LODISC_API_KEY", "LODISC_MILVUS_TOKEN"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one serving process.

    Attributes:
        catalogue: folder of the catalogue; None until somebody says which (the process then answers 503).
        bundle: folder of the bundle; None takes the one that the catalogue names.
        threads: threads of one inference session, and, up to 8, those that decode pictures; 0 takes the cores divided
            by `workers`.
        variant: which of the bundle's variants to run; None takes the one that the catalogue was filled with.
        providers: execution providers, in order of preference, each of which has to become active.
        allow_fallback: whether a provider that is not there, or an engine for another GPU, may be done without.
        workers: processes that share this machine, among which its cores are divided where `threads` is 0.
        keys: the file of API keys, which then has to be there; None takes keys.json in the catalogue's folder if there
            is one, and does without keys if not.
        insecure: whether to answer other machines although there are no keys.
        cors_origins: the sites, as https://example.org, whose pages may ask this server from a browser.
        allow_writes: whether PUT and DELETE of items are served without a key. With keys, one of the scope `write`
            is enough.
        max_body_bytes: longest request body, counted while it is read.
        max_pictures: most pictures in one request.
        max_pixels: most pixels in one picture, checked before it is decoded, when it takes up to 17 bytes each.
        max_queued_pictures: most pictures in flight in this process, one that is explained counting as the encodings
            that it takes; above it the answer is 429.
        max_batch: most pictures in one run of the encoder.
        head_timeout_s: seconds a client may take to send the head of a request.
        body_timeout_s: seconds a client may take to send its body.
        deadline_s: seconds that the work for a request may take once its body is there; then 503.
        cache_mb: megabytes of embeddings of recent pictures that are kept; 0 keeps none.
        drain_s: seconds for which a process that was told to stop still answers while /readyz says no, so that
            whoever spreads the requests notices.
        json_logs: whether a worker logs one JSON object a line.
        prometheus_dir: folder of the metrics that several worker processes share; None for one process alone.
    """

    catalogue: Path | None = None
    bundle: Path | None = None
    variant: str | None = None
    providers: tuple[str, ...] = ("cpu",)
    allow_fallback: bool = False
    threads: int = 0
    workers: int = 1
    keys: Path | None = None
    insecure: bool = False
    cors_origins: tuple[str, ...] = ()
    allow_writes: bool = False
    max_body_bytes: int = 64 * 1024 * 1024
    max_pictures: int = 64
    max_pixels: int = 64_000_000
    max_queued_pictures: int = 256
    max_batch: int = 8
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    deadline_s: float = 30.0
    cache_mb: int = 64
    drain_s: float = 0.0
    json_logs: bool = False
    prometheus_dir: Path | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a number is out of range, or an origin is none.
        """
        smallest = {
            "threads": 0,
            "workers": 1,
            "max_body_bytes": 1024,
            "max_pictures": 1,
            "max_pixels": 1,
            "max_queued_pictures": self.max_pictures,
            "max_batch": 1,
            "head_timeout_s": 1,
            "body_timeout_s": 1,
            "deadline_s": 0.1,
            "cache_mb": 0,
            "drain_s": 0,
        }
        for name, limit in smallest.items():
            value = getattr(self, name)
            if not value >= limit:
                raise ConfigError(f"{PREFIX}{name.upper()} is {value}, expected at least {limit}")
        for origin in self.cors_origins:
            if not ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"{origin!r} is no site that CORS can let in; expected scheme, host and port as a browser sends "
                    "them, such as https://example.org"
                )

    @property
    def num_threads(self) -> int:
        """Threads of one inference session, at least 1."""
        return self.threads or max(1, _num_cores() // self.workers)

    @property
    def num_decode_threads(self) -> int:
        """Threads that decode pictures, from 1 to 8; Pillow lets go of the interpreter lock meanwhile.

        As many as of an inference session, so that who says how many cores there are bounds the memory too.
        """
        return min(8, self.num_threads)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings.

        Args:
            environment: in place of `os.environ`, for tests.

        Raises:
            ConfigError: a variable is misspelt, of the wrong type, or out of range.
        """
        source = os.environ if environment is None else environment
        readers = {f"{PREFIX}{name.upper()}": (name, read) for name, read in _READERS.items()}
        unknown = sorted(name for name in source if name.startswith(PREFIX) and name not in readers.keys() | OF_OTHERS)
        if unknown:
            raise ConfigError(f"{', '.join(unknown)} is no setting; there are {', '.join(sorted(readers))}")
        values: dict[str, object] = {}
        for variable, (name, read) in readers.items():
            text = source.get(variable, "").strip()
            if text:
                try:
                    values[name] = read(text)
                except ValueError as error:
                    raise ConfigError(f"{variable} is {text!r}: {error}") from error
        # BentoML tells its workers with this name, not ours, where to keep the metrics that they share.
        if shared := source.get("PROMETHEUS_MULTIPROC_DIR", ""):
            values["prometheus_dir"] = Path(shared)
        return cls(**values)  # type: ignore[arg-type]


def _read_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off"}:
        return False
    raise ValueError("expected true or false")


def _read_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _num_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_READERS: dict[str, Callable[[str], object]] = {
    "catalogue": Path,
    "bundle": Path,
    "variant": str,
    "providers": _read_names,
    "allow_fallback": _read_bool,
    "threads": int,
    "workers": int,
    "keys": Path,
    "insecure": _read_bool,
    "cors_origins": _read_names,
    "allow_writes": _read_bool,
    "max_body_bytes": int,
    "max_pictures": int,
    "max_pixels": int,
    "max_queued_pictures": int,
    "max_batch": int,
    "head_timeout_s": float,
    "body_timeout_s": float,
    "deadline_s": float,
    "cache_mb": int,
    "drain_s": float,
    "json_logs": _read_bool,
}
