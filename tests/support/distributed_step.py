"""One process of `test_distributed`: torchrun -m, with a folder that holds what to compute on. Not a test itself.

    torchrun --nproc-per-node 2 distributed_step.py FOLDER

FOLDER holds folders with inputs.pt (recipe fields, two views of the whole batch, its small crops and its labels or
None). Of each, one after the other, each process takes its part, does one step of the model as training wraps it, and
writes rank-N.pt.
"""

import sys
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from training.checkpoint import build_model
from training.distributed import World, process_group, world_from_environment
from training.recipe import Recipe


def main() -> None:
    """Do the steps and write what came of them."""
    torch.set_num_threads(1)
    world = world_from_environment()
    with process_group(world, torch.device("cpu")):
        for folder in sorted(Path(sys.argv[1]).iterdir()):
            step(folder, world)


def step(folder: Path, world: World) -> None:
    """Do one step and write what came of it."""
    inputs = torch.load(folder / "inputs.pt")
    torch.manual_seed(world.rank)  # what the processes draw must not matter
    model = build_model(Recipe(**inputs["recipe"])).train()
    wrapped = DistributedDataParallel(model)
    view1, view2 = (inputs[name].chunk(world.size)[world.rank] for name in ("view1", "view2"))
    labels = inputs["labels"].chunk(world.size)[world.rank] if inputs["labels"] is not None else None
    small = inputs["small"].chunk(world.size, dim=1)[world.rank] if inputs["small"] is not None else None
    generator = torch.Generator().manual_seed(0)
    losses = wrapped(view1, view2, inputs["momentum"], generator, labels, small_MB3SS=small)
    losses.total.backward()
    torch.save(
        {
            "losses": torch.stack([losses.global_branch.detach(), losses.local_branch.detach()]),
            "gradients": {name: p.grad for name, p in model.named_parameters() if p.grad is not None},
            "state": model.state_dict(),
        },
        folder / f"rank-{world.rank}.pt",
    )


if __name__ == "__main__":
    main()
