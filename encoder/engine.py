"""ONNX Runtime sessions: which execution providers there are, and one graph loaded into them.

A provider that was asked for and is not active is an error: a GPU that is silently unused is the most expensive default
there is. Where a person has allowed a fallback, the provider is left out with a statement that they get to see.
"""

import encoder.no_telemetry  # isort: skip  # noqa: F401 - before ONNX Runtime is loaded

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnxruntime

from encoder.errors import BundleCorruptError, ProviderUnavailableError

logger = logging.getLogger(__name__)

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
Session: TypeAlias = onnxruntime.InferenceSession


@dataclass(frozen=True)
class Output:
    """An input or output of a loaded graph: its name, ONNX Runtime's name of its type, and its shape."""

    name: str
    kind: str
    shape: list[int | str]


def choose_providers(wanted: Sequence[str], *, allow_fallback: bool) -> list[str]:
    """The providers asked for, each once, after a look at what is installed.

    Args:
        wanted: of PROVIDERS, in order of preference.
        allow_fallback: leave out what is not installed, with a warning, as long as something remains.

    Raises:
        ProviderUnavailableError: one is unknown, or not installed and may not be left out; or none remains.
    """
    installed = onnxruntime.get_available_providers()
    chosen: list[str] = []
    for provider in wanted:
        if provider not in PROVIDERS:
            raise ProviderUnavailableError(f"unknown provider {provider!r}; the providers are {', '.join(PROVIDERS)}")
        if PROVIDERS[provider] not in installed:
            fault = f"{provider} was asked for, but this ONNX Runtime offers only {', '.join(installed)}"
            if not allow_fallback:
                raise ProviderUnavailableError(
                    f'{fault}; install onnxruntime-gpu in its place (README, "On a GPU"), or ask for cpu'
                )
            logger.warning("%s; going on without it, as was allowed", fault)
        elif provider not in chosen:
            chosen.append(provider)
    if not chosen:
        raise ProviderUnavailableError(
            f"no provider to run on; name at least one of {', '.join(PROVIDERS)} that is installed"
        )
    return chosen


def open_session(
    path: Path,
    providers: Sequence[str],
    *,
    num_threads: int | None = None,
    provider_options: Mapping[str, Mapping[str, str]] | None = None,
) -> Session:
    """Load a graph.

    Args:
        path: of the .onnx file; its weights may lie beside it.
        providers: of PROVIDERS, all installed.
        num_threads: within one call on the CPU; ONNX Runtime's own choice (the physical cores) if None.
        provider_options: by provider.

    Raises:
        BundleCorruptError: ONNX Runtime cannot load it.
        ProviderUnavailableError: a provider did not become active.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    names = [PROVIDERS[provider] for provider in providers]
    settings = [dict((provider_options or {}).get(provider, {})) for provider in providers]
    try:
        session = Session(str(path), options, providers=names, provider_options=settings)
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types, some plain Exception
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleCorruptError(f"{path} cannot be loaded by ONNX Runtime: {reason}") from error
    active = session.get_providers()
    lacking = [name for name in names if name not in active]
    if lacking:
        raise ProviderUnavailableError(
            f"{', '.join(lacking)} was asked for but did not become active (active: {', '.join(active)}); "
            "check the driver and CUDA libraries, or ask for cpu"
        )
    return session


def inputs_of(session: Session) -> list[Output]:
    """What a graph takes."""
    return [Output(node.name, node.type, list(node.shape)) for node in session.get_inputs()]


def outputs_of(session: Session) -> list[Output]:
    """What a graph gives."""
    return [Output(node.name, node.type, list(node.shape)) for node in session.get_outputs()]


def version() -> str:
    """ONNX Runtime's version."""
    return str(onnxruntime.__version__)
