"""What a catalogue keeps of its items' pivotal patches, and whether re-ranking by them is on, for `stats`."""

from dataclasses import asdict
from typing import Any

from encoder.shell_words import path_word
from index.answers.rerank_fit import RerankFit
from index.catalogue import Catalogue
from index.sqlite_catalogue import SqliteCatalogue


def local_document(catalogue: Catalogue) -> dict[str, Any] | None:
    """As JSON; None where the catalogue keeps no local features."""
    if not isinstance(catalogue, SqliteCatalogue) or catalogue.local.projection() is None:
        return None
    return {"items": catalogue.local.count(), "rerank": asdict(RerankFit.of(catalogue.local))}


def local_lines(catalogue: Catalogue) -> list[str]:
    """For a person; no line where the catalogue keeps no local features."""
    if not isinstance(catalogue, SqliteCatalogue) or catalogue.local.projection() is None:
        return []
    kept, items = catalogue.local.count(), catalogue.count()
    rest = "" if kept >= items else f"; the others: lodisc index local {path_word(catalogue.path)}"
    fit = RerankFit.of(catalogue.local)
    since = catalogue.refresh().seq - fit.change
    return [
        f"local       pivotal patches of {kept} of {items} items{rest}",
        f"re-ranking  {fit.text()}; {since} changes since",
    ]
