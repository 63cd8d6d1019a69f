"""Runs `lodisc` as on a machine that has torch, numpy, Pillow and safetensors, and nothing else of what we install.

python lean_machine.py default-encoder train --out DIR
"""

import importlib.metadata
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

OURS = {"lodisc", "encoder", "training", "export"}
INSTALLED = ("torch", "numpy", "pillow", "safetensors")


def with_requirements(names: Sequence[str]) -> set[str]:
    """Distributions and all that they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        found.add(name)
        waiting += [re.match(r"[\w.-]+", one)[0] for one in required if "extra ==" not in one]
    return found


class LeanMachine:
    """A finder that finds nothing of what is not there."""

    def __init__(self) -> None:
        there = with_requirements(INSTALLED)
        self._allowed = OURS | {"__main__"} | set(sys.stdlib_module_names)
        for module, distributions in importlib.metadata.packages_distributions().items():
            if any(re.sub(r"[-_.]+", "-", one).lower() in there for one in distributions):
                self._allowed.add(module)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if top in self._allowed or top.startswith("_sysconfigdata"):
            return None
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)


if __name__ == "__main__":
    sys.meta_path.insert(0, LeanMachine())
    from lodisc.cli import main

    sys.exit(main(sys.argv[1:]))
