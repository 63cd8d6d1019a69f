"""Runs `lodisc` as on a machine that has torch, numpy, Pillow and safetensors, and nothing else of what we install.

python lean_machine.py default-encoder train --out DIR
"""

import importlib.metadata
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

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


def allowed_modules() -> set[str]:
    """Top-level modules that such a machine has."""
    there = with_requirements(INSTALLED)
    allowed = OURS | {"__main__"} | set(sys.stdlib_module_names)
    for module, distributions in importlib.metadata.packages_distributions().items():
        if any(re.sub(r"[-_.]+", "-", one).lower() in there for one in distributions):
            allowed.add(module)
    return allowed


class LeanFinder:
    """A finder that does not find what is not there."""

    def __init__(self, finder: Any, allowed: set[str]) -> None:
        self._finder, self._allowed = finder, allowed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if top not in self._allowed and not top.startswith("_sysconfigdata"):
            return None
        return self._finder.find_spec(name, path, target)


if __name__ == "__main__":
    there = allowed_modules()
    sys.meta_path[:] = [LeanFinder(finder, there) for finder in sys.meta_path]
    from lodisc.cli import main

    sys.exit(main(sys.argv[1:]))
