"""What was fitted on a catalogue so that its answers are probabilities: `calibration.json` in its folder.

Written aside and renamed, so that a reader sees the old one or the new one. It belongs to one encoder: of a catalogue
that another has filled since it is refused.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from encoder.errors import CatalogueCorruptError, CatalogueError, EncoderMismatchError, SchemaVersionError
from encoder.manifest import Manifest
from encoder.shell_words import path_word
from index.answers.logistic import LogisticMap
from index.answers.reliability import Bin

CALIBRATION_NAME = "calibration.json"
VERSION = 3  # what was fitted before was fitted to votes that were counted otherwise
DEFAULT_FLOOR = 0.7  # at the floor itself an answer is wrong three times in ten; over all sure answers far less often
DEFAULT_FALSE_ACCEPTANCE = 0.05

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SeveralCalibration:
    """The map of one label rank for an answer by several photographs of one thing. Measured figures as below.

    Attributes:
        map: as that of a rank, from the pooled vote.
        num_questions: of so many items of one label each.
        accuracy: of the first label of the vote.
        error_before: expected calibration error by the map of one photograph.
        error: the same by this one, cross-validated.
        error_by_chance: what that would be of perfect confidences on as many questions.
    """

    map: LogisticMap
    num_questions: int
    accuracy: float
    error_before: float
    error: float
    error_by_chance: float


@dataclass(frozen=True, kw_only=True)
class RankCalibration:
    """One label rank: the map from the vote to a probability, and what was measured of it.

    Measured figures are cross-validated: no question was answered by what was fitted on it.

    Attributes:
        map: probability of the first label from the log odds of its share and the first cosine.
        others: how often the right label is among the neighbours' other labels where the first is wrong.
        num_questions: items asked, of labels that another item has too.
        num_alone: items that were not, because nothing else has their label.
        accuracy: of the first label of the vote.
        first_accuracy: of the first neighbour's label.
        error_before: expected calibration error of the share of the vote without calibration.
        error: the same of the confidence.
        error_by_chance: what that would be of perfect confidences on as many questions.
        coverage: share of the questions whose confidence passes the floor.
        sure_accuracy: of those, that are right; None where there are none.
        bins: confidence and accuracy.
        several: what holds for so many photographs of one thing, and for more; empty where there were too few items.
    """

    map: LogisticMap
    others: float
    num_questions: int
    num_alone: int
    accuracy: float
    first_accuracy: float
    error_before: float
    error: float
    error_by_chance: float
    coverage: float
    sure_accuracy: float | None
    bins: list[Bin]
    several: dict[int, SeveralCalibration] = field(default_factory=dict)

    def map_of(self, num_photographs: int) -> LogisticMap:
        """The map for an answer by so many photographs."""
        fitted = max((num for num in self.several if num <= num_photographs), default=None)
        return self.map if fitted is None else self.several[fitted].map


@dataclass(frozen=True, kw_only=True)
class UnknownModel:
    """The score for "none of these", and the verdict that is made of it.

    Attributes:
        known: probability, at even odds, that the thing is of the catalogue; see `index.answers.unknown`.
        threshold: score from which on it is unknown.
        wanted_acceptance: share of strangers taken for known that was asked for; None for the default.
        false_acceptance: the share, cross-validated by class: by thresholds chosen without the strangers' classes.
        false_acceptance_interval: low and high end of that, a 95 % bootstrap interval over classes.
        known_rejected: share of the known taken for unknown, likewise.
        rejected_at_default: the same at the default false acceptance, whatever was chosen.
        num_questions: known ones and strangers each.
        auroc: how often a stranger scores above a known one, cross-validated by class.
        curve: pairs of false acceptance and rejection of the known.
    """

    known: LogisticMap
    threshold: float
    wanted_acceptance: float | None
    false_acceptance: float
    false_acceptance_interval: list[float]
    known_rejected: float
    rejected_at_default: float
    num_questions: int
    auroc: float
    curve: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A fit.

    Attributes:
        encoder_id: of what filled the catalogue.
        change: the catalogue's last change then; 0 where its store does not count them.
        num_items: items then.
        num_questions: items asked.
        asked: what: "leave one out", or the catalogue of questions.
        group: metadata field whose equals were left out of each other's neighbours; None for none.
        seed: of the sample.
        k: neighbours that vote.
        temperature: difference of cosine over which a neighbour's weight falls by e.
        class_exponent: a neighbour weighs the size of its class to the minus this.
        far_cosine: median cosine of the k-th neighbour, at which those that a search lacks are taken to be.
        floor: least confidence of a sure answer.
        class_sizes: of each rank, the number of items by label, of those whose finest label that is.
        typical_size: median of those: of a class that came later.
        ranks: what is calibrated, finest first.
        unknown: None where it could not be fitted: there are too few classes.
    """

    encoder_id: str
    change: int
    num_items: int
    num_questions: int
    asked: str
    group: str | None
    seed: int
    k: int
    temperature: float
    class_exponent: float
    far_cosine: float
    floor: float
    class_sizes: dict[str, dict[str, int]]
    typical_size: float
    ranks: dict[str, RankCalibration]
    unknown: UnknownModel | None


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Store it in the catalogue's folder, in place of an older one.

    Raises:
        CatalogueError: it cannot be written.
    """
    path = folder / CALIBRATION_NAME
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    text = json.dumps({"version": VERSION, **asdict(calibration)}, ensure_ascii=False, allow_nan=False, indent=1)
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CatalogueError(f"{path} cannot be written: {error.strerror or error}") from error


def is_calibration(path: Path) -> bool:
    """Whether a file is a calibration of some version, as far as its first look tells: others may be called so too."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"version", "encoder_id"} <= document.keys()


def read_calibration(folder: Path, manifest: Manifest) -> Calibration | None:
    """The calibration of a catalogue that an encoder has filled; None where there is none.

    Raises:
        CatalogueCorruptError: the file is not as it must be.
        SchemaVersionError: a newer or an earlier version of this program wrote it.
        EncoderMismatchError: it was fitted for another encoder.
    """
    path = folder / CALIBRATION_NAME
    mend = f"calibrate anew: lodisc index calibrate {path_word(folder)}"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document.pop("version")
        if isinstance(version, int) and version > VERSION:
            raise SchemaVersionError(
                f"{path} has version {version}, this program knows {VERSION}; update it, or {mend}"
            )
        if isinstance(version, int) and version < VERSION:
            raise SchemaVersionError(
                f"{path} was fitted by an earlier version of this program, which counted votes otherwise; {mend}"
            )
        calibration = _calibration(document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogueCorruptError(f"{path} cannot be read ({error}); {mend}") from error
    if calibration.encoder_id != manifest.id:
        raise EncoderMismatchError(
            f"{path} was fitted for encoder {calibration.encoder_id}, the catalogue is filled by {manifest.id}; {mend}",
            detail={"found": calibration.encoder_id, "expected": manifest.id},
        )
    return calibration


def _calibration(document: dict[str, Any]) -> Calibration:
    ranks = {rank: _rank(values) for rank, values in document["ranks"].items()}
    unknown = None if document["unknown"] is None else _unknown(document["unknown"])
    found = _made(Calibration, {**document, "ranks": ranks, "unknown": unknown})
    if not (found.k >= 1 and found.temperature > 0 and 0 < found.floor <= 1 and _finite(found.far_cosine)):
        raise ValueError("k, temperature, floor or far_cosine is out of range")
    return found


def _rank(document: Mapping[str, Any]) -> RankCalibration:
    bins = [_made(Bin, one) for one in document["bins"]]
    several = {int(num): _several(values) for num, values in document["several"].items()}
    found = {**document, "map": _map(document["map"], 2), "bins": bins, "several": several}
    return _made(RankCalibration, found)


def _several(document: Mapping[str, Any]) -> SeveralCalibration:
    return _made(SeveralCalibration, {**document, "map": _map(document["map"], 2)})


def _unknown(document: Mapping[str, Any]) -> UnknownModel:
    return _made(UnknownModel, {**document, "known": _map(document["known"], 3)})


def _map(document: Mapping[str, Any], num_features: int) -> LogisticMap:
    found = _made(LogisticMap, document)
    numbers = [*found.centre, *found.scale, *found.slopes, found.offset]
    if len(numbers) != 3 * num_features + 1 or not _finite(*numbers) or min(found.scale) <= 0 or min(found.slopes) < 0:
        raise ValueError(f"a map is not of {num_features} finite features")
    return found


def _finite(*numbers: float) -> bool:
    return all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)


def _made(kind: type[T], document: Mapping[str, Any]) -> T:
    """A dataclass from just the keys that it has."""
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    if names != document.keys():
        raise ValueError(f"{kind.__name__} lacks or has one too many of {sorted(names ^ document.keys())}")
    return kind(**document)
