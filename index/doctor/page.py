"""The page of a diagnosis: one HTML file that needs nothing else, with the pictures of what was found.

No script and nothing from elsewhere; light or dark as the reader's browser is.
"""

import base64
import os
from html import escape
from pathlib import Path

from index.catalogue import Catalogue
from index.doctor.findings import KINDS, Diagnosis, Finding

NUM_SHOWN = 200  # of one kind; the pictures of a thousand findings are more than a browser likes
NUM_PICTURES = 8  # of one finding's items
STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #222; --faint: #6b6b6b; --line: #ddd; --code: #f3f3f3 }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181b; --text: #e6e6e6; --faint: #9a9a9a; --line: #3a3d42; --code: #23262b }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 1080px;
  margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin-top: 2.2em } h2 span, .faint { color: var(--faint) }
table { border-collapse: collapse } td, th { padding: .2em 1.2em .2em 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
article { border-top: 1px solid var(--line); padding: .8em 0 1em }
article p { margin: 0 0 .5em; overflow-wrap: anywhere }
.rows { display: flex; flex-wrap: wrap; gap: .4em 1.6em } .rows > div { min-width: 0 }
.rows h3 { font-size: 12px; font-weight: 600; color: var(--faint); margin: 0 0 .2em; max-width: 460px;
  overflow-wrap: anywhere }
figure { display: inline-block; margin: 0 .5em .3em 0; vertical-align: top; width: 108px }
figure img, figure span { display: block; height: 96px; max-width: 108px; object-fit: contain; border-radius: 3px }
figure span { border: 1px dashed var(--line) }
figcaption { font-size: 11px; color: var(--faint); overflow-wrap: anywhere }
pre { background: var(--code); border-radius: 4px; padding: .5em .8em; margin: .4em 0 0; font-size: 13px;
  white-space: pre-wrap; overflow-wrap: anywhere; user-select: all }
a { color: inherit }
"""


def write_page(path: Path, catalogue: Catalogue, diagnosis: Diagnosis) -> None:
    """Write the page aside and rename it.

    Args:
        path: of the HTML file.
        catalogue: that was examined; its thumbnails are embedded.
        diagnosis: what was found.

    Raises:
        OSError: it cannot be written; a page that is there stays.
    """
    title = f"Catalogue {catalogue.path.resolve().name}: findings"
    pictures = _Pictures(catalogue)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(
                "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
                f"<title>{escape(title)}</title><style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n"
                f"{_overview(catalogue, diagnosis)}\n"
            )
            for kind, num in diagnosis.counts().items():
                found = [finding for finding in diagnosis.findings if finding.kind == kind][:NUM_SHOWN]
                if not found:
                    continue
                shown = f"the first {len(found)} of {num}" if len(found) < num else str(num)
                file.write(f"<h2 id={kind}>{escape(KINDS[kind])} <span>{shown}</span></h2>\n")
                for finding in found:  # one after the other: the pictures of all of them may be large
                    file.write(_article(finding, pictures) + "\n")
            file.write("</html>\n")
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _overview(catalogue: Catalogue, diagnosis: Diagnosis) -> str:
    rows = "".join(
        f"<tr><td>{f'<a href=#{kind}>{escape(KINDS[kind])}</a>' if num else escape(KINDS[kind])}<td class=n>{num}"
        for kind, num in diagnosis.counts().items()
    )
    notes = "".join(f"<li>{escape(note)}" for note in diagnosis.notes)
    return (
        f"<p class=faint>{diagnosis.num_items} items, encoder {escape(catalogue.manifest.name)} "
        f"({escape(catalogue.manifest.id)}), {diagnosis.seconds:.1f} s. Findings are what looks wrong to the catalogue "
        "itself; look at the pictures before you run a command.</p>"
        f"<table>{rows}</table>" + (f"<ul class=faint>{notes}</ul>" if notes else "")
    )


def _article(finding: Finding, pictures: "_Pictures") -> str:
    sure = "" if finding.confidence is None else f" <span class=faint>confidence {finding.confidence:.2f}</span>"
    groups = [("", finding.ids), *finding.evidence]
    rows = "".join(
        f"<div>{f'<h3>{escape(name)}</h3>' if name else '<h3>found</h3>'}{pictures.figures(ids)}</div>"
        for name, ids in groups
        if ids
    )
    return (
        f"<article><p>{escape(finding.text)}{sure}</p><div class=rows>{rows}</div>"
        f"<pre>{escape(finding.command)}</pre></article>"
    )


class _Pictures:
    """Thumbnails as figures.

    Args:
        catalogue: that holds them.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def figures(self, ids: tuple[str, ...]) -> str:
        """The first few items, with what the catalogue calls them."""
        more = f"<span class=faint>and {len(ids) - NUM_PICTURES} more</span>" if len(ids) > NUM_PICTURES else ""
        return "".join(map(self._figure, ids[:NUM_PICTURES])) + more

    def _figure(self, item_id: str) -> str:
        item, picture = self._catalogue.get(item_id), self._catalogue.thumbnail(item_id)
        label = escape(next(iter(item.labels.values()), "") if item is not None else "removed meanwhile")
        name = escape(item_id, quote=True)
        data = base64.b64encode(picture or b"").decode()
        image = f'<img alt="{name}" src="data:image/webp;base64,{data}">' if picture else "<span></span>"
        return f"<figure>{image}<figcaption>{label}<br>{name}</figcaption></figure>"
