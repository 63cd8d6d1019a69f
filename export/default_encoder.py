"""A run on packs to a bundle of fp32 and int8 that is no larger than asked, and proof that it answers as it should."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from encoder.bundle import Bundle, require_free, sha256_of
from encoder.errors import BundleError, ConfigError, ParityError
from encoder.golden import load_golden
from encoder.image_encoder import ImageEncoder
from encoder.own_folder import replace_folder
from encoder.parity import TOLERANCES, Parity, encoder_embedder, measure_parity, require_parity, tolerance_of
from export.bundling import ExportOptions, ExportReport, export_network
from export.encoder_card import encoder_sections, stage_summary
from export.network import Network
from export.our_network import run_network
from export.retrieval_gate import DEFAULT_FLOOR
from training.figures import chosen_checkpoint
from training.packs import PackIndex, read_index, unpack
from training.run_note import require_packs_of
from training.supervision import labels_sentence, reads_labels


@dataclass(frozen=True, kw_only=True)
class BundleSettings:
    """What to write.

    Attributes:
        name, domain, licence: of the bundle; an empty domain names the sets.
        int8: make an int8 variant too.
        floor: least mAP of it, as a share of fp32's.
        note: for the card, beside what is known of the run, such as how its recipe was chosen.
        max_bytes: most bytes of the bundle; weights are stored as float16 where float32 would be more.
    """

    name: str = "default"
    domain: str = ""
    licence: str = ""
    int8: bool = True
    floor: float = DEFAULT_FLOOR
    note: str = ""
    max_bytes: int = 45_000_000


def write_default_bundle(
    run: Path,
    packs: Path,
    pictures: Path,
    figures: Path,
    out: Path,
    settings: BundleSettings,
    tell: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Export a run with its figures, or leave what is at `out` if it is of the same run, figures and settings.

    Args:
        run: folder of the run.
        packs: folder of packs.json.
        pictures: where packs are unpacked; variants are compared on test pictures, or on training pictures without any.
        figures: JSON of `training.figures.measure_run`.
        out: folder of the bundle; another one there is replaced.
        settings: what to write.
        tell: called with a line before each step that takes long.

    Raises:
        ConfigError: no run, or figures or packs of another.
        SourceError: a pack is missing or damaged.
        ParityError: a variant disagrees with torch, or finds worse.
        BundleError: it is larger than asked even with its weights stored as float16, or `out` is no bundle.
    """
    source, index = chosen_checkpoint(run), read_index(packs)
    document = _read_figures(figures, source)
    require_packs_of(document["training"], run, packs, index)
    if document["test_packs"] != index.digest("test"):
        raise ConfigError(
            f"the figures in {figures} are of other test packs than those in {packs}; do the stage evaluate again"
        )
    made_of = {"figures": document, "settings": asdict(settings)}
    marker = out.with_name(f"{out.name}.json")
    if out.is_dir() and _read_marker(marker) == made_of:
        tell(f"{out} is of this run already")
        return Bundle.open(out)
    require_free(out, overwrite=True)
    part = "test" if index.of("test") else "train"
    tell(f"unpacking {part} pictures, to compare variants on")
    compared_on = unpack(packs, part, pictures)
    network = _described(run_network(source), index, document, settings)
    num_parameters = sum(parameter.numel() for parameter in network.reference.parameters())
    draft = out.with_name(f".{out.name}.draft")
    try:
        # Rounding changes the network in place, so the one with float32 comes first; or not at all, if its weights
        # alone are too large.
        for half_weights in (False, True) if 4 * num_parameters <= settings.max_bytes else (True,):
            options = ExportOptions(
                pictures=compared_on,
                int8=settings.int8,
                half_weights=half_weights,
                floor=settings.floor,
                name=settings.name,
                licence=settings.licence,
                figures=_flat(document),
                sections=encoder_sections(index, document, settings.note),
                overwrite=True,
            )
            report = export_network(network, draft, options, tell)
            num_bytes = sum(path.stat().st_size for path in draft.iterdir())
            if num_bytes <= settings.max_bytes:
                break
            tell(f"{num_bytes / 1e6:.1f} MB, at most {settings.max_bytes / 1e6:g} MB are asked for")
        else:
            raise BundleError(
                f"the bundle takes {num_bytes / 1e6:.1f} MB even with its weights stored as float16, at most "
                f"{settings.max_bytes / 1e6:g} MB are asked for; train a smaller encoder, say --no-int8, or raise "
                "--max-mb"
            )
        _require_faithful_rounding(report)
        marker.unlink(missing_ok=True)
        replace_folder(out, draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    marker.write_text(json.dumps(made_of, indent=1) + "\n", encoding="utf-8")
    return Bundle.open(out)


def verify_bundle(path: Path) -> dict[str, Parity]:
    """Hash every file, and ask each variant for the golden pictures.

    Raises:
        BundleError: a file is not the one of the manifest, or a variant answers otherwise than it did.
    """
    bundle = Bundle.open(path)
    references, found = load_golden(path), {}
    for name, variant in bundle.manifest.variants.items():
        found[name] = measure_parity(encoder_embedder(ImageEncoder(bundle, variant=name)), references)
        require_parity(found[name], tolerance_of(variant), f"variant {name} of {path}")
    return found


def _read_marker(path: Path) -> dict[str, Any] | None:
    """What the bundle beside it was made of; None where that is not known, as after a write that was cut short."""
    try:
        made_of: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return made_of


def _read_figures(path: Path, source: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); do the stage evaluate first") from error
    if document["checkpoint"]["sha256"] != sha256_of(source):
        raise ConfigError(f"the figures in {path} are of another checkpoint than {source}; do the stage evaluate again")
    return document


def _described(network: Network, index: PackIndex, document: dict[str, Any], settings: BundleSettings) -> Network:
    """The network with what the packs say of its pictures, which lay unpacked in a folder whose name says nothing."""
    sets = ", ".join(each.name for each in index.sets)
    kind = "labelled" if reads_labels(document["recipe"]) else "unlabelled"
    earlier = document["training"].get("earlier", [])
    return replace(
        network,
        trained_on=f"{document['num_pictures']} {kind} pictures of {sets}, {document['run']['epochs']:.3g} epochs, "
        f"{document['seconds'] / 60:.0f} minutes"
        + "".join(f", after {stage_summary(stage)}" for stage in reversed(earlier)),
        domain=settings.domain or (f"the sets {sets}" if len(index.sets) > 1 else sets),
        labels=labels_sentence(document["recipe"], earlier),
    )


def _flat(document: dict[str, Any]) -> dict[str, float]:
    """The encoder's figures by names such as `cars mAP`, for the manifest."""
    return {
        f"{name} {metric}": float(figure["value"])
        for name, measured in document["sets"].items()
        for metric, figure in measured["methods"]["encoder"].items()
    }


def _require_faithful_rounding(report: ExportReport) -> None:
    """Weights stored as float16 are computed with in float32; what their rounding moved is held to float16's bound."""
    cosine = report.manifest.variants["fp32"].parity.get("rounding_cosine", 1.0)
    least = TOLERANCES["fp16"].min_cosine
    if cosine < least:
        raise ParityError(
            f"rounding the weights to float16 moves an embedding to a cosine of {cosine:.5f} (at least {least} is "
            "required); raise --max-mb so that they can stay float32"
        )
