"""One optimiser update of a run, and what it tells."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW

from encoder.errors import TrainingError
from training.distributed import World, sum_over_processes
from training.loading import Batch
from training.model import LoDisc, Losses
from training.recipe import Recipe
from training.schedule import StepSettings
from training.views import draw_views, step_generator


@dataclass(frozen=True)
class StepTotals:
    """A step's figures over all processes.

    Attributes:
        global_loss: Lg, mean over the processes.
        local_loss: Ll, mean over the processes.
        wait_s: seconds spent waiting for pictures, mean over the processes.
        stop: whether any process was told to stop.
    """

    global_loss: float
    local_loss: float
    wait_s: float
    stop: bool


class TrainingStep:
    """Draws the views of a batch, and moves the model and the optimiser by one step.

    Args:
        model: on `device`, in training mode.
        optimizer: of its trained parameters.
        recipe: precision and augmentation.
        device: where this process computes.
        world: this process among all.
    """

    def __init__(self, model: LoDisc, optimizer: AdamW, recipe: Recipe, device: torch.device, world: World) -> None:
        self.model: LoDisc | DistributedDataParallel = model
        if world.size > 1:
            self.model = DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)
        self.optimizer, self.recipe, self.device, self.world = optimizer, recipe, device, world

    def __call__(self, batch: Batch, epoch: int, position: int, settings: StepSettings, *, stop: bool) -> StepTotals:
        """Do the step at `position` of `epoch`.

        Raises:
            TrainingError: the loss or its gradient is no longer finite, in any process. The weights in memory are lost
                then, those of the last checkpoint are not.
        """
        recipe = self.recipe
        generator = step_generator(self.device, recipe.seed, epoch, position, self.world.rank)
        # Dropout draws from torch's own generator, so that too is set by where in the run we are.
        torch.manual_seed(generator.initial_seed())
        views = draw_views(batch.pixels_BQQ3, batch.aspect_B, recipe, generator, settings.image_size)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            losses: Losses = self.model(
                views.view1_B3SS,
                views.view2_B3SS,
                settings.momentum,
                generator,
                batch.label_BR,
                small_MB3SS=views.small_MB3SS,
                keep_ratio=settings.keep_ratio,
            )
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        gradient_norm = torch.nn.utils.get_total_norm(gradients)
        self.optimizer.step()
        return self._totals(losses, gradient_norm, batch.wait_s, stop, epoch)

    @torch.no_grad()
    def _totals(self, losses: Losses, gradient_norm: Tensor, wait_s: float, stop: bool, epoch: int) -> StepTotals:
        """Read the losses, which waits for the device, once a step and after everything is under way."""
        figures = torch.stack(
            [losses.global_branch, losses.local_branch, *losses.total.new_tensor([wait_s, stop]), gradient_norm]
        )
        sums = sum_over_processes(figures).tolist()
        global_loss, local_loss, wait_s = (value / self.world.size for value in sums[:3])
        total = global_loss + local_loss
        if not math.isfinite(total):
            raise TrainingError(f"the loss is {total} in epoch {epoch + 1}; lower --lr, or use --precision fp32")
        if not math.isfinite(sums[4]):  # the loss would tell it one step later, and a checkpoint may lie between
            raise TrainingError(f"the gradient is {sums[4]} in epoch {epoch + 1}; lower --lr, or use --precision fp32")
        return StepTotals(global_loss, local_loss, wait_s, stop=sums[3] > 0)
