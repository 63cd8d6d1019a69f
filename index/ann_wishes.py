"""What a person wants of a catalogue's index. The catalogue remembers it, so that later compactions choose likewise."""

import json
from dataclasses import asdict, dataclass

import faiss

from encoder.errors import ConfigError

DEFAULT_RECALL = 0.98
# Without `--memory`: of what the raw vectors take as float32.
DEFAULT_MEMORY_SHARE = 0.6


@dataclass(frozen=True, kw_only=True)
class IndexWishes:
    """How the index of a catalogue is chosen.

    Attributes:
        recall: least recall@10 against exact search, in (0, 1].
        memory: most bytes that the index may hold in memory; None for a share of the raw vectors.
        exact: exact search at every size.
        faiss: a FAISS factory string that is built whatever it measures; None to choose by measurement.
    """

    recall: float = DEFAULT_RECALL
    memory: int | None = None
    exact: bool = False
    faiss: str | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: one is out of range, or two exclude each other.
        """
        if not 0 < self.recall <= 1:
            raise ConfigError(f"--recall is {self.recall:g}, expected a number above 0 and at most 1")
        if self.memory is not None and self.memory <= 0:
            raise ConfigError(f"--memory is {self.memory}, expected more than 0 bytes")
        if self.exact and self.faiss:
            raise ConfigError("--exact and --faiss exclude each other; give one of them")

    def memory_limit(self, count: int, dim: int) -> int:
        """Bytes that an index of `count` vectors may hold in memory."""
        return self.memory if self.memory is not None else int(DEFAULT_MEMORY_SHARE * 4 * count * dim)

    def check_factory(self, dim: int) -> None:
        """See that FAISS knows the factory string.

        Raises:
            ConfigError: it does not.
        """
        if self.faiss is None:
            return
        try:
            faiss.index_factory(dim, self.faiss, faiss.METRIC_INNER_PRODUCT)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"--faiss is {self.faiss!r}, which FAISS cannot make for {dim} dimensions "
                f"({str(error).splitlines()[-1]}); an example is IVF1024,SQ8"
            ) from error

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str | None) -> "IndexWishes":
        """From JSON; the defaults from None, as in a catalogue that was never told."""
        return cls(**json.loads(text)) if text else cls()
