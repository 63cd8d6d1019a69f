"""The results file and, in a folder of its name beside it, what became of every test picture in each run.

The file holds the runs with their figures, and the differences between methods. The outcomes of the pictures are kept
so that a difference over all seeds can be taken whenever the last of them was run.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from quality_measure import FIGURES, RETRIEVAL, Outcomes, figures
from quality_paired import paired_difference
from result_file import write_result

# What is compared: the first minus the second. The random mask is the control of `zero`, whose work it shares.
PAIRS = (
    ("zero", "moco_v3"), ("zero", "random_mask"), ("drop", "moco_v3"), ("drop", "random_mask"),
    ("moco_v3", "learnt_stem"), ("learnt_stem", "untrained"), ("labels", "drop"), ("drop_rerank", "drop"),
)  # fmt: skip
HAND_MADE = ("colour_histogram", "hog_and_colour")
UNTRAINED = (*HAND_MADE, "untrained", "learnt_stem")
_STEPS = 65535  # outcomes are kept in 16 bits


class Results:
    """Runs that were made, and the file that they are written to after each."""

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, path.with_name(f"{path.stem}_outcomes")
        empty: dict[str, Any] = {"protocols": {}, "pictures": 0, "runs": [], "differences": []}
        self.document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else empty

    def find(self, name: str, method: str, seed: int, pictures: int) -> dict[str, Any] | None:
        """A run, by its set, method, seed and pictures seen (0 of what is not trained); None if it is to be made."""
        for run in self.document["runs"]:
            if _key(run) == (name, method, seed, pictures) and set(figures_of(method)) <= set(run["figures"]):
                found: dict[str, Any] = run
                return found
        return None

    def accept(self, methods: set[str], pictures: int, size: dict[str, Any], device: str) -> None:
        """Take the settings of runs that are to come, or end the program: one table is of one size, device and length.

        Args:
            methods: of the runs, none of bundles. Hand-made rows have no settings, untrained ones no length.
            pictures: seen in each trained run.
            size: fields of the recipe that all networks share.
            device: that trains and embeds.
        """
        document, wanted = self.document, {"size": json.loads(json.dumps(size)), "device": device}
        if not methods - set(HAND_MADE):
            self.document = {**wanted, **document}
            return
        if methods - set(UNTRAINED):
            wanted["pictures"] = pictures
        if any(run["pictures"] for run in document["runs"]):
            for name, value in wanted.items():
                if document.get(name, value) != value:
                    raise SystemExit(
                        f"{self.path} holds trained runs with {name} {document[name]}, these would be with {value}; "
                        "choose another --out"
                    )
        document |= wanted

    def add(self, run: dict[str, Any], outcomes: Outcomes, about: dict[str, Any]) -> dict[str, Any]:
        """Keep a run in the place of one of its key, and bring the differences of its set up to date.

        A bundle takes the place of all rows of the bundle that had its name before.

        Args:
            run: set, method, seed, pictures, and what else is to be told of it.
            outcomes: by figure.
            about: of the document: when and where this was made.
        """
        run = {**run, "figures": figures(outcomes)}
        document = self.document
        assert run["pictures"] in (0, document["pictures"]), "accept() was not asked"
        document |= about
        document["runs"] = [one for one in document["runs"] if _key(one) != _key(run) and not _is_before(one, run)]
        document["runs"].append(run)
        self.folder.mkdir(parents=True, exist_ok=True)
        steps = {name: np.rint(values_Q * _STEPS).astype(np.uint16) for name, values_Q in outcomes.items()}
        np.savez_compressed(self._outcomes_path(_key(run)), **steps)
        others = [one for one in document["differences"] if one["set"] != run["set"]]
        document["differences"] = others + self._differences(run["set"])
        write_result(self.path, document)
        return run

    def _differences(self, name: str) -> list[dict[str, Any]]:
        """Every pair of which there are seeds in common, with as many pictures seen."""
        found = []
        for first, second in PAIRS:
            pictures = self.document["pictures"]
            seeds = sorted(self._seeds(name, first, pictures) & self._seeds(name, second, pictures))
            if not seeds:
                continue
            outcomes = [self._outcomes(name, method, seeds, pictures) for method in (first, second)]
            told = {
                figure: asdict(paired_difference(outcomes[0][figure], outcomes[1][figure]))
                for figure in outcomes[0].keys() & outcomes[1].keys()
            }
            told = {figure: told[figure] for figure in FIGURES if figure in told}
            found.append({"set": name, "first": first, "second": second, "seeds": seeds, "figures": told})
        return found

    def _seeds(self, name: str, method: str, pictures: int) -> set[int]:
        wanted = (name, method, 0 if method in UNTRAINED else pictures)
        runs = [_key(run) for run in self.document["runs"]]
        return {key[2] for key in runs if (key[0], key[1], key[3]) == wanted and self._outcomes_path(key).is_file()}

    def _outcomes(self, name: str, method: str, seeds: list[int], pictures: int) -> dict[str, NDArray[np.float64]]:
        """By figure, shape (seeds, test pictures)."""
        seen = 0 if method in UNTRAINED else pictures
        files = [np.load(self._outcomes_path((name, method, seed, seen))) for seed in seeds]
        return {figure: np.stack([file[figure] for file in files]) / _STEPS for figure in files[0].files}

    def _outcomes_path(self, key: tuple[str, str, int, int]) -> Path:
        return self.folder / ("-".join(str(part) for part in key) + ".npz")


def figures_of(method: str) -> tuple[str, ...]:
    """What is measured of a method: re-ranking changes retrieval alone."""
    return RETRIEVAL if method.endswith("_rerank") else FIGURES


def _key(run: dict[str, Any]) -> tuple[str, str, int, int]:
    return run["set"], run["method"], run["seed"], run["pictures"]


def _is_before(one: dict[str, Any], run: dict[str, Any]) -> bool:
    """Whether it is a row, perhaps the re-ranked one, of another bundle of the same name, on the same set."""
    rows = (run["method"], f"{run['method']}_rerank")
    return "bundle" in run and one["set"] == run["set"] and one["method"] in rows and one["bundle"] != run["bundle"]
