"""Which bundle a server opens for its catalogue.

The one that was named, else the one that the catalogue was filled with where it still is, else one of the
bundles that are shipped beside this package (as in a Bento) if it has the very same id: then it is the same
encoder.
"""

from pathlib import Path

from encoder.bundle import Bundle
from encoder.errors import BundleNotFoundError
from encoder.manifest import MANIFEST_NAME, load_manifest
from index.catalogue import Catalogue
from service.model_store import PREFIX, find

SHIPPED_DIR = Path(__file__).parent.parent / "bundles"


def choose_bundle(catalogue: Catalogue, named: Path | None, shipped_dir: Path = SHIPPED_DIR) -> Bundle:
    """The verified bundle of the encoder that filled the catalogue.

    Args:
        catalogue: open.
        named: folder that a person named, or bentoml:TAG of BentoML's model store; None to look for it.
        shipped_dir: folder of shipped bundles.

    Raises:
        BundleNotFoundError: it is nowhere.
        BundleError: it is damaged.
        EncoderMismatchError: the named one is another.
    """
    if named is not None and str(named).startswith(PREFIX):
        named = find(str(named).removeprefix(PREFIX))
    try:
        return catalogue.find_bundle(named)
    except BundleNotFoundError:
        if named is not None:
            raise
        for manifest_path in sorted(shipped_dir.glob(f"*/{MANIFEST_NAME}")):
            if load_manifest(manifest_path.parent).id == catalogue.manifest.id:
                return Bundle.open(manifest_path.parent)
        raise
