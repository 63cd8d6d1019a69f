"""A run that goes on where its pictures lie in another folder: on another machine, or after a move.

A checkpoint names the folder of its pictures, and `train` refuses any other. Pictures from packs are known by the
packs' hashes instead, so whoever has compared those may say where they lie now.
"""

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from training.checkpoint import CHECKPOINT_NAME, read_state


def say_where_pictures_lie(run: Path, data: Path) -> None:
    """Let the last checkpoint of a run name `data`, by rename; nothing if it does, or if there is none.

    Raises:
        ConfigError: the checkpoint cannot be read.
        OSError: it cannot be written.
    """
    path = run / CHECKPOINT_NAME
    if not path.is_file() or read_state(run).data == str(data.resolve()):
        return
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), "data": str(data.resolve())}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    partial = path.with_suffix(".partial")
    mode = path.stat().st_mode
    save_file(tensors, partial, metadata)
    partial.chmod(mode)
    partial.replace(path)
