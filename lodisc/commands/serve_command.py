"""`lodisc serve`: a catalogue over HTTP, after everything that can be wrong has been looked at.

What a person can mend (no catalogue, another bundle, a port that is taken) is found here, before any server
starts, and said in one line. Then BentoML's own `bentoml serve` runs as a child: signals are handed on to it,
and the address is printed once it really answers.
"""

import argparse
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import service
from encoder.engine import choose_providers
from encoder.errors import ConfigError
from index.open_catalogue import open_catalogue
from service.bundle_choice import choose_bundle
from service.key_file import KEYS_NAME, read_keys
from service.settings import Settings

HELP = """\
Answer over HTTP from a catalogue: a search page at /, the API at /embed and /search, its description at
/docs.

examples:
  lodisc serve catalogue/
  lodisc serve catalogue/ --port 8080 --workers 2
  lodisc key create catalogue/ --scope read && lodisc serve catalogue/ --host 0.0.0.0
  curl -F images=@unknown.jpg http://127.0.0.1:3000/search
"""
POLL_S = 0.1
DRAIN_S = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("catalogue", type=Path, metavar="CATALOGUE", help="folder of `lodisc index build`")
    parser.add_argument("--bundle", type=Path, help="bundle (default: the one the catalogue was built with)")
    parser.add_argument("--variant", metavar="NAME", help="of the bundle (default: the one that filled the catalogue)")
    parser.add_argument(
        "--providers", default="cpu", metavar="A,B", help="to run on: tensorrt, cuda, cpu (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-fallback", action="store_true", help="do without a provider that is not there, with a warning"
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="IP", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=3000, help="port; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer (default: %(default)s)")
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="threads of the encoder in each process (default: cores / workers)",
    )
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="of `lodisc key create` (default: keys.json in the catalogue, if there)",
    )
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="SITE",
        help="let pages of this site ask from a browser, as https://example.org; can be repeated",
    )
    parser.add_argument("--allow-writes", action="store_true", help="serve PUT and DELETE of items without a key")
    parser.add_argument("--insecure", action="store_true", help="answer other machines although there are no keys")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    return serve(
        args.catalogue,
        bundle=args.bundle,
        variant=args.variant,
        providers=args.providers,
        allow_fallback=args.allow_fallback,
        host=args.host,
        port=args.port,
        workers=args.workers,
        threads=args.threads,
        keys=args.keys,
        cors_origins=args.cors_origin,
        allow_writes=args.allow_writes,
        insecure=args.insecure,
    )


def serve(
    catalogue: Path,
    *,
    bundle: Path | None = None,
    variant: str | None = None,
    providers: str = "cpu",
    allow_fallback: bool = False,
    host: str = "127.0.0.1",
    port: int = 3000,
    workers: int = 1,
    threads: int = 0,
    keys: Path | None = None,
    cors_origins: Sequence[str] = (),
    allow_writes: bool = False,
    insecure: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> int:
    """Check, start, announce, wait.

    Args:
        catalogue: its folder.
        bundle: of the encoder; None takes the one that the catalogue names.
        variant: of the bundle; None takes the one that filled the catalogue.
        providers: to run on, separated by commas.
        allow_fallback: whether a provider that is not there may be done without.
        host: IP address to listen on, or localhost.
        port: 0 takes a free one.
        workers: processes that answer.
        threads: of the encoder in each process; 0 divides the cores.
        keys: the file of API keys; None takes the catalogue's if it has one.
        cors_origins: sites whose pages may ask from a browser.
        allow_writes: whether items can be put and deleted without a key.
        insecure: whether to answer other machines without keys.
        on_ready: called with the URL once the server answers; prints it by default.

    Returns:
        0 where the server was asked to stop, 1 where it ended by itself.

    Raises:
        ConfigError: host, port, workers or threads cannot be.
        BundleError: the bundle is missing, damaged or another one, or cannot run on the providers.
        CatalogueError: the catalogue is missing, damaged, or was filled by another encoder.
        KeyFileError: the file of keys is missing or damaged.
    """
    if workers < 1 or threads < 0:
        raise ConfigError(f"--workers is {workers} and --threads {threads}; expected at least 1 and 0")
    Settings(cors_origins=tuple(cors_origins))  # refuses what is no site
    if keys is None and (catalogue / KEYS_NAME).exists():
        keys = catalogue / KEYS_NAME
    if keys is not None:
        read_keys(keys)
    address = checked_address(host, insecure or keys is not None)
    with open_catalogue(catalogue) as opened:
        found = choose_bundle(opened, bundle)
        opened.choose_variant(found, variant)
        choose_providers(providers.split(","), allow_fallback=allow_fallback)
        num_items = opened.count()
    port = free_port(address, port)
    shown = f"[{address}]" if address.version == 6 else str(address)
    url = f"http://{shown}:{port}"
    print(f"starting: {num_items} pictures of {catalogue}, encoder {found.manifest.name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="lodisc-serve-") as home:
        environment = {
            **os.environ,
            "LODISC_CATALOGUE": str(catalogue.absolute()),
            # Not what was found, but what was asked for: another catalogue may bring another encoder while this serves.
            "LODISC_BUNDLE": str(bundle.absolute()) if bundle is not None else "",
            "LODISC_VARIANT": variant or "",
            "LODISC_PROVIDERS": providers,
            "LODISC_ALLOW_FALLBACK": str(allow_fallback).lower(),
            "LODISC_WORKERS": str(workers),
            "LODISC_THREADS": str(threads),
            # Said even where it is the default, so that a worker that starts anew misses it if it is gone.
            "LODISC_KEYS": str(keys.absolute()) if keys is not None else "",
            "LODISC_INSECURE": str(insecure).lower(),
            "LODISC_CORS_ORIGINS": ",".join(cors_origins),
            "LODISC_ALLOW_WRITES": str(allow_writes).lower(),
            "BENTOML_CONFIG_OPTIONS": f"services.image_retrieval.workers={workers}",
            # Each server gets a home of its own: BentoML keeps metrics there and clears them when it starts.
            "BENTOML_HOME": home,
            "BENTOML_DO_NOT_TRACK": "True",
        }
        if "BENTOML_CONFIG" not in environment:
            # BentoML makes spans of every request, which took a quarter of the event loop, also where none are sent.
            environment.setdefault("OTEL_SDK_DISABLED", "true")
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "bentoml", "serve", "service.app:ImageRetrieval"),
                *("--host", str(address), "--port", str(port)),
                *("--working-dir", str(Path(service.__file__).parent.parent)),
                *("--timeout-graceful-shutdown", str(DRAIN_S)),
            ],
            env=environment,
            start_new_session=True,
        )
        with _handing_signals_to(child) as stopping:
            if _wait_until_ready(child, url):
                (on_ready or _announce)(url)
            child.wait()
        if stopping:
            return 0
        print(f"lodisc: error: the server ended by itself with exit code {child.returncode}", file=sys.stderr)
        return 1


def _announce(url: str) -> None:
    print(f"ready: {url} (API: {url}/docs), Ctrl-C stops", flush=True)


def checked_address(host: str, beyond: bool) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address to listen on; one that other machines reach only if `beyond` allows it."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise ConfigError(f"--host is {host!r}, expected an IP address such as 127.0.0.1") from error
    if not address.is_loopback and not beyond:
        raise ConfigError(
            f"--host {host} is reachable from other machines and this server has no keys: everybody who "
            "reaches it could read the catalogue; make one with `lodisc key create CATALOGUE`, listen on 127.0.0.1, or "
            "say --insecure if you mean it"
        )
    return address


def free_port(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> int:
    """The port, after it was seen to be free."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port is {port}, expected 0 to 65535")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(address), port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {address} port {port}: {error.strerror}; "
                "stop what listens there or choose another with --port"
            ) from error
        return int(probe.getsockname()[1])


@contextmanager
def _handing_signals_to(child: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Hand SIGINT, SIGTERM and SIGHUP on as SIGTERM, except what is ignored (nohup); the list holds what came."""
    received: list[int] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        child.terminate()

    before = {
        number: signal.signal(number, hand_on)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield received
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_until_ready(child: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the server answers a search, or until it ends."""
    # Never by a proxy that the environment names: this asks the child.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while child.poll() is None:
        try:
            with opener.open(f"{url}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_S)
    return False
