"""`training.json`: what a training on packs notes of its run: the packs, the device, what came before it."""

import json
from pathlib import Path
from typing import Any

from encoder.errors import ConfigError
from training.packs import PackIndex

NOTE_NAME = "training.json"


def read_note(run: Path) -> dict[str, Any]:
    """What a training on packs noted of a run; nothing where it has noted nothing."""
    path = run / NOTE_NAME
    note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return note


def write_note(run: Path, note: dict[str, Any]) -> None:
    """Note it, by rename."""
    partial = run / f"{NOTE_NAME}.partial"
    partial.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    partial.replace(run / NOTE_NAME)


def require_packs_of(note: dict[str, Any], run: Path, packs: Path, index: PackIndex) -> None:
    """See that packs are those that a run was trained on, where that is noted.

    Raises:
        ConfigError: they are others.
    """
    if note.get("packs", index.digest()) != index.digest():
        raise ConfigError(
            f"{run} was trained on other packs ({note['packs']}) than those in {packs} ({index.digest()}); "
            "bring those back, or choose another --out"
        )
