"""What a catalogue remembers of how it was filled, in whatever store: the encoder, where its bundle was, the ranks.

It is kept as a table of texts, so that each store can hold it in its own way.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from encoder.bundle import Bundle
from encoder.errors import BundleNotFoundError, EncoderMismatchError
from encoder.manifest import Manifest, manifest_document, parse_manifest
from encoder.shell_words import path_word
from index.text import printable


def filled_by(bundle: Bundle, *, variant: str, ranks: Sequence[str], domain: str | None) -> dict[str, str]:
    """What a new catalogue is to remember.

    Raises:
        BundleNotFoundError: the bundle has no such variant.
    """
    bundle.variant(variant)
    return {
        "manifest": manifest_document(bundle.manifest),
        **filled_now(bundle.path, ranks),
        "variant": variant,
        **({"domain": domain} if domain else {}),
    }


def filled_now(bundle_path: Path, ranks: Sequence[str]) -> dict[str, str]:
    """The part of it that may change: where the bundle is, and what the ranks are called."""
    return {"bundle_path": printable(str(bundle_path.absolute())), "ranks": json.dumps(list(ranks))}


class Filled:
    """The part of a catalogue that knows what filled it; a store's class adds the rest.

    Args:
        name: of the catalogue, as a person would type it.
        meta: as of `filled_by`.

    Attributes:
        name: as above.
        manifest, bundle_path, ranks, variant, domain: see `index.catalogue`.
    """

    def __init__(self, name: str, meta: Mapping[str, str]) -> None:
        self.name = name
        self.manifest: Manifest = parse_manifest(json.loads(meta["manifest"]), f"{name} (manifest)")
        self.bundle_path = Path(meta["bundle_path"])
        self.ranks: tuple[str, ...] = tuple(json.loads(meta["ranks"]))
        self.variant: str = meta.get("variant", "fp32")
        self.domain: str | None = meta.get("domain")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and connections."""
        raise NotImplementedError

    def check_encoder(self, encoder_id: str | None) -> None:
        """See that the encoder with that id filled the catalogue, if one is given.

        Raises:
            EncoderMismatchError: another did; the message has the command that mends it.
        """
        if encoder_id is not None and encoder_id != self.manifest.id:
            raise EncoderMismatchError(
                f"catalogue {self.name} was filled by encoder {self.manifest.id} ({self.manifest.name}), "
                f"not by {encoder_id}; open it with --bundle {path_word(self.bundle_path)}, or fill it anew: "
                f"lodisc index build {path_word(self.name)} --images SOURCE --bundle BUNDLE --fresh",
                detail={"found": self.manifest.id, "expected": encoder_id},
            )

    def find_bundle(self, given: Path | None = None) -> Bundle:
        """The bundle that filled the catalogue: the given one, or where it was then.

        Raises:
            BundleNotFoundError: it has moved.
            EncoderMismatchError: the given one is another.
        """
        path = given or self.bundle_path
        if given is None and not path.exists():
            raise BundleNotFoundError(
                f"catalogue {self.name} was filled with the bundle {path}, which is not there any more; "
                "say where it is with --bundle"
            )
        bundle = Bundle.open(path)
        if bundle.manifest.id != self.manifest.id:
            raise EncoderMismatchError(
                f"catalogue {self.name} was filled by encoder {self.manifest.id} ({self.manifest.name}), bundle {path} "
                f"is {bundle.manifest.id}; name the right one with --bundle, or fill it anew: "
                f"lodisc index build {path_word(self.name)} --images SOURCE --bundle {path_word(path)} --fresh",
                detail={"found": self.manifest.id, "expected": bundle.manifest.id},
            )
        return bundle

    def choose_variant(self, bundle: Bundle, wanted: str | None) -> str:
        """The variant to embed with: the wanted one, or the one that filled the catalogue.

        Raises:
            BundleNotFoundError: the bundle has no such variant.
            EncoderMismatchError: the wanted one's embeddings may not be compared with those in the catalogue.
        """
        variant = wanted or self.variant
        if not bundle.comparable(variant, self.variant):
            raise EncoderMismatchError(
                f"catalogue {self.name} was filled by variant {self.variant}, which sees other patches than {variant}: "
                f"their embeddings differ; leave --variant out, or fill it anew: "
                f"lodisc index build {path_word(self.name)} --images SOURCE --bundle {path_word(bundle.path)} "
                f"--variant {variant} --fresh",
                detail={"found": self.variant, "expected": variant},
            )
        return variant

    def _news(self, bundle_path: Path, ranks: Sequence[str]) -> dict[str, str]:
        """What `remember` has to write: nothing if all is remembered already."""
        new = filled_now(bundle_path, ranks or self.ranks)
        old = {"bundle_path": str(self.bundle_path), "ranks": json.dumps(list(self.ranks))}
        return {} if new == old else new
