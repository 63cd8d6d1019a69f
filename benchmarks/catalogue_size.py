"""What an item takes on disk: by table of the database, and in the search snapshot.

    python benchmarks/catalogue_size.py [PICTURES] [--scale WORK]

PICTURES is a folder of photographs, of which some hundreds are indexed with the demo encoder: that tells thumbnails and
rows as real file names and labels make them. WORK is the work folder of `benchmarks/index_scale.py`, whose largest
catalogue tells vectors of 384 dimensions at that size; its items have no thumbnails. A part that is not measured stays
as it was. Bytes are whole pages of the database, so what pages leave empty is counted. Prints one JSON object.
"""

import argparse
import json
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from encoder.bundle import Bundle
from encoder.picture_files import list_pictures
from index.build import build, open_for_build
from index.division import bulk_encoder
from index.schema import DATABASE_NAME
from index.sources.reading import read_source

RESULT = Path(__file__).parent / "results" / "catalogue_size.json"
BUNDLE = Path(__file__).parent.parent / "bundles" / "demo"
NUM_PICTURES = 400
# Tables and indexes of one item beside its two wide values, which have tables of their own.
ROW_TABLES = ("item", "item_live", "item_content", "change")


def main() -> None:
    """Measure what was given, merge it into the result, print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="?", metavar="PICTURES")
    parser.add_argument("--scale", type=Path, metavar="WORK")
    args = parser.parse_args()
    result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    if args.pictures is not None:
        result["photographs"] = photographs(args.pictures)
    if args.scale is not None:
        largest = max(int(path.name) for path in args.scale.iterdir() if path.name.isdecimal())
        result["scale"] = sizes(args.scale / str(largest))
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def photographs(pictures: Path) -> dict[str, Any]:
    """Sizes of a catalogue of photographs, which is built and thrown away."""
    paths = list_pictures(pictures)
    chosen = paths[:: max(1, len(paths) // NUM_PICTURES)][:NUM_PICTURES]
    bundle = Bundle.open(BUNDLE)
    encoder, calls = bulk_encoder(bundle)
    with tempfile.TemporaryDirectory() as folder:
        source, catalogue_path = Path(folder) / "photographs", Path(folder) / "catalogue"
        for path in chosen:
            link = source / path.relative_to(pictures)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
        with open_for_build(catalogue_path, bundle) as catalogue:
            build(catalogue, encoder, read_source(source), encoder_calls=calls, quiet=True)
        file_bytes = sum(path.stat().st_size for path in chosen) / len(chosen)
        return {"encoder": bundle.manifest.name, "picture_file_bytes": round(file_bytes)} | sizes(catalogue_path)


def sizes(path: Path) -> dict[str, Any]:
    """Bytes an item of the catalogue at `path`, by what they are for."""
    database = sqlite3.connect(f"file:{path / DATABASE_NAME}?mode=ro", uri=True)
    try:
        (items,) = database.execute("SELECT count(*) FROM item WHERE deleted = 0").fetchone()
        (vector_bytes,) = database.execute("SELECT length(vector) FROM embedding LIMIT 1").fetchone()
        pages = dict(database.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    finally:
        database.close()
    (snapshot,) = [folder for folder in (path / "ann").iterdir() if folder.name.isdecimal()]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "items": items,
        "dim": vector_bytes // 2,
        "bytes_an_item": {
            "embedding": round(pages["embedding"] / items, 1),
            "thumbnail": round(pages["thumbnail"] / items, 1),
            "row": round(sum(pages[name] for name in ROW_TABLES) / items, 1),
            "snapshot": {file.name: round(file.stat().st_size / items, 1) for file in sorted(snapshot.iterdir())},
        },
    }


if __name__ == "__main__":
    main()
