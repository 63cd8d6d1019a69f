"""What `lodisc index doctor` finds of faults that were put into a catalogue.

Into a copy of it are put, on different items: wrong labels (5 % of the items get another label of the
finest rank at random, with the coarser labels that go with it) and copies under new ids (of 5 % of the items; half of
them the same file, half the picture at a size of 0.5 to 0.9 as a JPEG of quality 50 to 85; every fourth with a wrong
label). The pictures must be where the catalogue was built from, and its bundle too. One rule for all: nothing is set
for a catalogue. What the doctor found before anything was put in is counted apart: nobody knows whether it is right.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from encoder.image_encoder import ImageEncoder
from index.doctor.examination import examine
from index.doctor.findings import CONFLICT, DUPLICATE, MISLABELLED, Diagnosis
from index.evaluation import evaluate_catalogue
from index.items import Item, NewItem
from index.prepared import pixels_and_thumbnail
from index.relabel import relabel
from index.sqlite_catalogue import SqliteCatalogue

SHARE = 0.05


@dataclass(frozen=True)
class Planted:
    """What was put in.

    Attributes:
        true_labels: of each item that has a wrong label now.
        copies: id of each copy, and of what it is one.
        encoded_anew: the copies that are not the same file.
    """

    true_labels: dict[str, dict[str, str]]
    copies: dict[str, str]
    encoded_anew: frozenset[str]


def measure(catalogue: Path, seeds: Sequence[int] = range(5)) -> dict[str, Any]:
    """Precision and recall of the doctor on one catalogue, which is left as it is.

    Args:
        catalogue: with labels; its pictures and its bundle are where they were when it was built.
        seeds: of the faults.
    """
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "clean"
        shutil.copytree(catalogue, clean)
        with SqliteCatalogue.open(clean) as opened:
            before = examine(opened, quiet=True)
            measured = evaluate_catalogue(opened, quiet=True)
        runs = []
        for seed in seeds:
            damaged = Path(folder) / f"damaged-{seed}"
            shutil.copytree(clean, damaged)
            with SqliteCatalogue.open(damaged) as opened:
                planted = plant(opened, seed)
                runs.append(_score(examine(opened, quiet=True), before, planted))
            shutil.rmtree(damaged)
    return {
        "items": before.num_items,
        "rank_1": {rank.rank: round(rank.figures["rank_1"].value, 3) for rank in measured.ranks if rank.figures},
        "found_before": before.counts(),
        "notes": list(before.notes),
        "mean": {key: _mean([run[key] for run in runs]) for key in runs[0]},
        "runs": runs,
    }


def plant(catalogue: SqliteCatalogue, seed: int) -> Planted:
    """Put wrong labels and copies into a catalogue."""
    generator = np.random.default_rng(seed)
    items = [record.item for record in catalogue.records(thumbnails=False) if record.item.labels]
    finest = next(rank for rank in catalogue.ranks if any(rank in item.labels for item in items))
    labels_of = {item.labels[finest]: item.labels for item in items if finest in item.labels}
    num = round(SHARE * len(items))
    order = generator.permutation(len(items))
    true_labels = {}
    for place in order[:num].tolist():
        true_labels[items[place].id] = items[place].labels
        relabel(catalogue, [items[place].id], _another(generator, labels_of, items[place].labels[finest]))
    encoder = ImageEncoder(catalogue.find_bundle())
    copies, encoded_anew = {}, set()
    for number, place in enumerate(order[num : 2 * num].tolist()):
        item, copy_id = items[place], f"copy-{number}-of-{items[place].id}"
        copies[copy_id] = item.id
        labels = item.labels
        if number % 4 == 3:
            true_labels[copy_id], labels = labels, _another(generator, labels_of, labels[finest])
        if number % 2:
            encoded_anew.add(copy_id)
            catalogue.put([_encoded_anew(encoder, item, copy_id, labels, generator)])
        else:
            catalogue.put([
                NewItem(
                    id=copy_id, labels=labels, metadata={}, source=item.source, content_hash=item.content_hash,
                    embedding=catalogue.embedding(item.id), thumbnail=catalogue.thumbnail(item.id) or b"",
                )
            ])  # fmt: skip
    return Planted(true_labels, copies, frozenset(encoded_anew))


def _another(generator: np.random.Generator, labels_of: dict[str, dict[str, str]], own: str) -> dict[str, str]:
    return labels_of[str(generator.choice([name for name in labels_of if name != own]))]


def _encoded_anew(
    encoder: ImageEncoder, item: Item, copy_id: str, labels: dict[str, str], generator: np.random.Generator
) -> NewItem:
    """The picture at another size, as another JPEG."""
    scale = generator.uniform(0.5, 0.9)
    with Image.open(item.source) as picture:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        buffer = BytesIO()
        picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(
            buffer, "JPEG", quality=int(generator.integers(50, 86))
        )
    data = buffer.getvalue()
    pixels, thumbnail = pixels_and_thumbnail(data, encoder.manifest.preprocessing)
    return NewItem(
        id=copy_id, labels=labels, metadata={}, source="", content_hash=sha256(data).hexdigest(),
        embedding=encoder.encode(pixels[None]).embedding_BD[0], thumbnail=thumbnail,
    )  # fmt: skip


def _score(diagnosis: Diagnosis, before: Diagnosis, planted: Planted) -> dict[str, float | None]:
    """What of the planted faults was found, and how much of what is new among the findings is one of them."""
    wrong = {
        finding.ids[0]: (finding.rank, finding.labels[1])
        for finding in diagnosis.findings
        if finding.kind == MISLABELLED
    }
    relabelled = planted.true_labels.keys() - planted.copies.keys()
    right = wrong.keys() & planted.true_labels.keys()
    suggested = [planted.true_labels[item_id].get(wrong[item_id][0]) == wrong[item_id][1] for item_id in right]
    groups = [finding.ids for finding in diagnosis.findings if finding.kind in (DUPLICATE, CONFLICT)]
    group_of = {item_id: number for number, ids in enumerate(groups) for item_id in ids}
    found = {
        copy_id for copy_id, item_id in planted.copies.items()
        if copy_id in group_of and group_of[copy_id] == group_of.get(item_id)
    }  # fmt: skip
    known = {item_id for finding in before.findings if finding.kind in (DUPLICATE, CONFLICT) for item_id in finding.ids}
    planted_pairs = set(planted.copies) | set(planted.copies.values())
    new = group_of.keys() - known - set(planted.copies.values())
    anew = planted.encoded_anew
    return {
        "mislabelled_precision": _share(len(right), len(wrong)),
        "mislabelled_recall": _share(len(right & relabelled), len(relabelled)),
        "mislabelled_found": len(wrong),
        "suggestion_right": _share(sum(suggested), len(suggested)),
        "duplicate_precision": _share(len(new & planted_pairs), len(new)),
        "same_file_recall": _share(len(found - anew), len(planted.copies.keys() - anew)),
        "encoded_anew_recall": _share(len(found & anew), len(anew)),
        "seconds": round(diagnosis.seconds, 2),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 3) if known else None
