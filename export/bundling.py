"""From a network to a bundle that has proved itself: variants made, compared with torch on pictures, then kept."""

import hashlib
import importlib.metadata
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle, require_free, write_bundle
from encoder.errors import BundleError, ConfigError
from encoder.golden import Reference, golden_document
from encoder.golden_pictures import draw_golden_pictures
from encoder.image_encoder import ImageEncoder
from encoder.manifest import GOLDEN_NAME, Manifest, Pruning, Variant, id_of
from encoder.parity import TOLERANCES, Parity, encoder_embedder, measure_parity, require_parity
from export.gate_pictures import GatePictures, read_gate_pictures
from export.model_card import CARD_NAME, model_card
from export.network import Network
from export.onnx_graph import round_to_half
from export.pruning_choice import PruningTrial, choose_pruning, fixed_pruning
from export.references import references_of
from export.retrieval_gate import DEFAULT_FLOOR, RetrievalCheck, compare_retrieval, require_retrieval
from export.tensorrt_engine import build_engine, require_tensorrt
from export.variants import VariantWriter

logger = logging.getLogger(__name__)

NUM_PARITY_PICTURES = 16
NUM_CALIBRATION_PICTURES = 128
BATCH_SIZE = 32
# int8 on real pictures, beside what retrieval says.
LEAST_INT8_COSINE = 0.995


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to make beside the fp32 variant, and what to say of it.

    Attributes:
        pictures: folder that variants are compared on; the network's own training pictures if None.
        calibrate: folder whose pictures static int8 is calibrated on; dynamic int8 if None.
        int8: make an int8 variant.
        fp16: make a float16 variant.
        prune: "auto", or "LAYER:RATIO" as in "4:0.5"; "" for none.
        tensorrt: precision of a TensorRT engine; "" for none.
        half_weights: store weights as float16; the network is rounded first, and what it lost is measured.
        floor: least mAP of a variant as a share of fp32's.
        num_pictures: most pictures that variants are compared on.
        name, domain, licence: of the bundle; "" takes what the network says.
        figures: measurements to store, as name -> value.
        sections: Markdown for the model card, in place of its list of figures.
        overwrite: replace a bundle that is already there.
    """

    pictures: Path | None = None
    calibrate: Path | None = None
    int8: bool = False
    fp16: bool = False
    prune: str = ""
    tensorrt: str = ""
    half_weights: bool = False
    floor: float = DEFAULT_FLOOR
    num_pictures: int = 600
    name: str = ""
    domain: str = ""
    licence: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    sections: str = ""
    overwrite: bool = False


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        manifest: of the bundle.
        parity: each variant against torch.
        retrieval: each variant that changes the answers, against fp32.
        pruning_trials: the curve that a pruning was chosen from.
    """

    manifest: Manifest
    parity: dict[str, Parity]
    retrieval: dict[str, RetrievalCheck]
    pruning_trials: list[PruningTrial]


def export_network(
    network: Network, out: Path, options: ExportOptions, tell: Callable[[str], None] = lambda _: None
) -> ExportReport:
    """Write a bundle, unless one of its variants disagrees.

    Args:
        network: to export.
        out: folder of the bundle; appears by rename.
        options: what to make.
        tell: called with a line before each step that takes long.

    Raises:
        ParityError: a variant disagrees with torch, or finds worse than fp32 on the pictures.
        SourceError: there are no pictures for a comparison that needs them.
        BundleError: something is at `out`, or it cannot be written.
        ProviderUnavailableError: a TensorRT engine was asked for and cannot be built here.
    """
    require_free(out, overwrite=options.overwrite)
    if options.tensorrt:
        require_tensorrt()
    pruning = fixed_pruning(options.prune, network)
    before_rounding = references_of(network, draw_golden_pictures()) if options.half_weights else []
    if options.half_weights:
        round_to_half(network.reference)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=_existing_parent(out)) as work:
        draft = _Draft(network, Path(work) / "bundle", options, pruning, tell)
        draft.make_variants()
        if before_rounding:
            draft.note_rounding(before_rounding)
        return draft.publish(out)


class _Draft:
    """A bundle in the making, in a folder of its own."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        options: ExportOptions,
        pruning: Pruning | None,
        tell: Callable[[str], None],
    ) -> None:
        self.network, self.folder, self.options, self.pruning, self.tell = network, folder, options, pruning, tell
        folder.mkdir()
        self.golden = references_of(network, draw_golden_pictures())
        self.references = [*self.golden, *self._real_references()]
        tell("tracing the network")
        self.writer = VariantWriter(network, folder, half_weights=options.half_weights)
        self.variants: dict[str, Variant] = {}
        self.parity: dict[str, Parity] = {}
        self.retrieval: dict[str, RetrievalCheck] = {}
        self.trials: list[PruningTrial] = []
        self._gate: GatePictures | None = None
        self._fp32_ND: NDArray[np.float32] | None = None

    def make_variants(self) -> None:
        """All that was asked for, each compared as soon as it is there."""
        options = self.options
        self._take("fp32", self.writer.fp32())
        if options.fp16:
            self.tell("converting to float16")
            self._take("fp16", self.writer.fp16())
        if options.int8:
            self.tell("quantising to int8")
            self._take("int8", self._int8())
            least = self.retrieval["int8"].cosine_mean
            if least < LEAST_INT8_COSINE:
                logger.warning("int8 embeddings have a mean cosine of %.4f with fp32's", least)
        if options.prune:
            self._take("pruned", self.writer.pruned(self._pruning()))
        if options.tensorrt:
            self.tell("building the TensorRT engine, which takes minutes")
            self._take("tensorrt", self._engine())

    def note_rounding(self, before: Sequence[Reference]) -> None:
        """Keep how far the rounded network is from the one before."""
        pairs = zip(before, self.golden, strict=True)
        cosine = min(float(old.embedding_D @ new.embedding_D) for old, new in pairs)
        fp32 = self.variants["fp32"]
        self.variants["fp32"] = replace(fp32, parity={**fp32.parity, "rounding_cosine": cosine})

    def publish(self, out: Path) -> ExportReport:
        """Move the bundle to its place."""
        golden = golden_document(self.golden).encode()
        manifest = self._manifest(hashlib.sha256(golden).hexdigest())
        files: dict[str, bytes | Path] = {path.name: path for path in self.folder.iterdir() if path.suffix != ".json"}
        files[GOLDEN_NAME] = golden
        files[CARD_NAME] = model_card(manifest, self.options.sections, self.network.labels).encode()
        write_bundle(out, manifest, files, overwrite=self.options.overwrite)
        return ExportReport(manifest, self.parity, self.retrieval, self.trials)

    def _take(self, name: str, variant: Variant) -> None:
        """Compare a variant with torch, and with fp32's retrieval where it changes the answers; then keep it."""
        self.variants[name] = variant
        encoder = ImageEncoder(self._bundle(), variant=name, providers=_providers(variant))
        self.tell(f"comparing {name} with torch on pictures")
        parity = measure_parity(encoder_embedder(encoder), self.references)
        self.parity[name] = parity
        figures = parity.figures()
        if variant.precision in TOLERANCES and variant.pruning is None:
            require_parity(parity, TOLERANCES[variant.precision], f"variant {name}")
        else:
            check = self._retrieval_of(encoder)
            self.retrieval[name] = check
            require_retrieval(check, self.options.floor, f"variant {name}")
            figures |= check.figures()
        self.variants[name] = replace(variant, parity=figures)

    def _retrieval_of(self, encoder: ImageEncoder) -> RetrievalCheck:
        gate = self._gate_pictures()
        if self._fp32_ND is None:
            self.tell(f"embedding {len(gate.files)} pictures with fp32")
            self._fp32_ND = _embed_all(ImageEncoder(self._bundle()), gate.pixels_NSS3)
        self.tell(f"embedding them with {encoder.variant}")
        return compare_retrieval(self._fp32_ND, _embed_all(encoder, gate.pixels_NSS3), gate.labels)

    def _int8(self) -> Variant:
        if self.options.calibrate is None:
            return self.writer.int8_dynamic()
        pictures = read_gate_pictures(
            self.options.calibrate, self.network.preprocessing, NUM_CALIBRATION_PICTURES, "calibration (--calibrate)"
        )
        return self.writer.int8_static(pictures.pixels_NSS3)

    def _pruning(self) -> Pruning:
        if self.pruning is not None:
            return self.pruning
        gate = self._gate_pictures()
        self.tell("trying which patches can be left out")
        pruning, self.trials = choose_pruning(self.network, gate.pixels_NSS3, gate.labels, self.options.floor)
        return pruning

    def _engine(self) -> Variant:
        cache = Path.home() / ".cache" / "lodisc" / "tensorrt"
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as work:
            graph = Path(work) / "plain.onnx"
            self.writer.plain_graph(graph)
            side = self.network.preprocessing.image_size
            return build_engine(graph, self.folder, side, self.options.tensorrt, cache)

    def _gate_pictures(self) -> GatePictures:
        if self._gate is None:
            folder = self.options.pictures or self.options.calibrate or self.network.pictures
            if folder is None:
                raise ConfigError(
                    "a variant that changes the answers is compared with fp32 on pictures of yours; name a folder, one "
                    "sub-folder a label, with --pictures DIR"
                )
            self._gate = read_gate_pictures(
                folder, self.network.preprocessing, self.options.num_pictures, "the comparison (--pictures)"
            )
        return self._gate

    def _real_references(self) -> list[Reference]:
        """A few real pictures, where a folder is known, with what torch makes of them."""
        folder = self.options.pictures or self.network.pictures
        if folder is None:
            return []
        gate = read_gate_pictures(
            folder, self.network.preprocessing, NUM_PARITY_PICTURES, "the comparison with torch (--pictures)"
        )
        return references_of(self.network, dict(zip(gate.names, gate.files, strict=True)))

    def _bundle(self) -> Bundle:
        """What is there so far, as a bundle that can be loaded."""
        return Bundle(self.folder, self._manifest(None))

    def _manifest(self, golden_sha256: str | None) -> Manifest:
        network, options = self.network, self.options
        manifest = Manifest(
            id="",
            name=options.name or "encoder",
            embedding_dim=network.embedding_dim,
            token_dim=network.token_dim,
            preprocessing=network.preprocessing,
            patch_grid=network.patch_grid,
            outputs=list(network.outputs),
            variants=dict(self.variants),
            golden_sha256=golden_sha256,
            source=network.source,
            feature=network.feature,
            licence=options.licence or network.licence,
            trained_on=network.trained_on,
            domain=options.domain or network.domain,
            figures=dict(options.figures),
            recipe=network.recipe,
            created_with={
                package: importlib.metadata.version(package) for package in ("lodisc", "torch", "onnx", "onnxruntime")
            },
        )
        return replace(manifest, id=id_of(manifest))


def _providers(variant: Variant) -> tuple[str, ...]:
    return ("cpu",) if variant.built_for is None else ("tensorrt", "cuda")


def _existing_parent(out: Path) -> Path:
    """The folder that `out` is to lie in, made if need be.

    Raises:
        BundleError: it cannot be made.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(f"bundle {out} cannot be written: {error}") from error
    return out.parent


def _embed_all(encoder: ImageEncoder, pixels_NSS3: NDArray[np.uint8]) -> NDArray[np.float32]:
    starts = range(0, len(pixels_NSS3), BATCH_SIZE)
    return np.concatenate([encoder.encode(pixels_NSS3[start : start + BATCH_SIZE]).embedding_BD for start in starts])
