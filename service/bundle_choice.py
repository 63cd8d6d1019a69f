from pathlib import Path
from encoder.bundle import Bundle
from index.catalogue import Catalogue


def find_bundle(catalogue: Path, bundle: Path | None) -> Bundle:
    return Bundle.open(bundle or Catalogue.open(catalogue).bundle)
