"""What a training step costs: ours (zero, drop, moco_v3), the published code's, and plain MoCo v3.

    python benchmarks/training_step.py                       ViT-Ti/16 at 224, batches of 16 and 32
    python benchmarks/training_step.py --encoder small --batches 16
    python benchmarks/training_step.py --device cuda --encoder small --precision bf16 --batches 64 256

A step is from two views to the moved weights; drawing the views is the same for all and left out. The methods take
turns, round after round, so that what else the machine does falls on all of them; ratios are of medians, and the
spread is that of the ratios of single rounds. Peak memory is that of a process which does nothing else.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch
from reference.plain_moco_v3 import PlainMoCoV3Step
from reference.published_step import PublishedStep
from rich.console import Console
from rich.progress import track
from torch.utils.flop_counter import FlopCounterMode

from training.model import LoDisc
from training.vit import build_vit

RESULTS = Path(__file__).parent / "results" / "training_step.json"
METHODS = ("published", "zero", "drop", "moco_v3", "plain_moco_v3")
IMAGE_SIZE, PATCH_SIZE = 224, 16
# Dense bf16 peak by the makers' data sheets, TFLOP/s.
PEAK_TFLOPS = {"H200": 989.5, "H100": 989.5, "A100": 312.0, "L40S": 362.0, "4090": 165.2}


class OurStep:
    """A step of ours as the trainer does it, without drawing the views."""

    def __init__(self, vit, local):
        self.model = LoDisc(
            vit, local=local, keep_ratio=0.3, temperature=0.2, hidden_dim=4096, projection_dim=256
        ).to(vit.cls_token.device)  # fmt: skip
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.1, fused=True)
        self.generator = torch.Generator(vit.cls_token.device).manual_seed(0)

    def __call__(self, view1, view2):
        """One optimiser update; the loss."""
        losses = self.model(view1, view2, 0.99, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        self.optimizer.step()
        return losses.total.item()


def build(method, encoder, device):
    """A step of one method with weights of its own."""
    torch.manual_seed(0)
    vit = build_vit(encoder, image_size=IMAGE_SIZE, patch_size=PATCH_SIZE).to(device)
    if method == "published":
        return PublishedStep(vit)
    if method == "plain_moco_v3":
        return PlainMoCoV3Step(vit)
    return OurStep(vit, {"moco_v3": "none"}.get(method, method))


def two_views(batch, device):
    """Views of noise: what a step costs does not depend on what they show."""
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(batch, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator).to(device) for _ in range(2))


def timed(step, views, device, precision):
    """Seconds of one step; reading the loss at its end has waited for the device."""
    started = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        step(*views)
    return time.perf_counter() - started


def peak_memory_bytes(method, args, batch):
    """Peak of two steps in a process of its own, less what Python and torch need there."""
    command = [sys.executable, __file__, "--memory-of", method, "--batches", str(batch)]
    command += ["--encoder", args.encoder, "--device", args.device, "--precision", args.precision]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def measure_memory(args):
    """Peak bytes of two steps of the method that `--memory-of` names."""
    device, batch = torch.device(args.device), args.batches[0]
    before = peak_resident_bytes()
    step, views = build(args.memory_of, args.encoder, device), list(two_views(batch, device))
    for _ in range(2):
        timed(step, views, device, args.precision)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_bytes() - before


def peak_resident_bytes():
    """Most memory that this process has held (its own: what `getrusage` says is inherited from its parent)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def step_flop(method, encoder, device):
    """Floating-point operations of a step for one picture (two views), attention counted wherever it is computed."""
    views = list(two_views(2, device))
    step = build(method, encoder, device)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        step(*views)
    return counter.get_total_flops() / 2


def compare(args, batch):
    """All methods in turn at one batch size: medians, spreads, ratios, memory."""
    device = torch.device(args.device)
    steps = {method: build(method, args.encoder, device) for method in METHODS}
    views = list(two_views(batch, device))
    for step in steps.values():
        timed(step, views, device, args.precision)
    seconds = {method: [] for method in METHODS}
    for number in track(range(args.rounds), f"batch {batch}", console=Console(stderr=True)):
        # Each round begins with another method, so none always follows the same one.
        for turn in range(len(METHODS)):
            method = METHODS[(number + turn) % len(METHODS)]
            seconds[method].append(timed(steps[method], views, device, args.precision))
    result = {"batch": batch, "methods": {}}
    for method in METHODS:
        result["methods"][method] = {
            "median_s": round(statistics.median(seconds[method]), 4),
            "min_s": round(min(seconds[method]), 4),
            "max_s": round(max(seconds[method]), 4),
            "peak_memory_mib": round(peak_memory_bytes(method, args, batch) / 2**20),
        }
    for name, over, under in (
        ("ratio_zero", "published", "zero"),
        ("ratio_drop", "published", "drop"),
        ("moco_v3_over_plain", "moco_v3", "plain_moco_v3"),
    ):
        rounds = [a / b for a, b in zip(seconds[over], seconds[under], strict=True)]
        result[name] = round(statistics.median(seconds[over]) / statistics.median(seconds[under]), 3)
        result[f"{name}_spread"] = [round(min(rounds), 3), round(max(rounds), 3)]
    return result


def main():
    """Compare, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="tiny")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peak-tflops", type=float, help="of the GPU, if its name is not known here")
    parser.add_argument("--save", action="store_true", help="keep the figures for the README")
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        print(measure_memory(args))
        return
    device = torch.device(args.device)
    flop = {method: step_flop(method, args.encoder, device) for method in METHODS}
    batches = [compare(args, batch) for batch in args.batches]
    largest = batches[-1]
    result = {
        "encoder": f"{args.encoder}/{PATCH_SIZE} at {IMAGE_SIZE}",
        "precision": args.precision,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads",
        "date": date.today().isoformat(),
        "rounds": args.rounds,
        "gflop_a_picture": {method: round(value / 1e9, 1) for method, value in flop.items()},
        "batches": batches,
        **{key: largest[key] for key in ("ratio_zero", "ratio_drop", "moco_v3_over_plain")},
    }
    if device.type == "cuda":
        name = torch.cuda.get_device_name()
        peak = args.peak_tflops or next((value for key, value in PEAK_TFLOPS.items() if key in name), None)
        if peak is not None:
            result["model_flop_utilisation"] = {
                method: round(flop[method] * largest["batch"] / largest["methods"][method]["median_s"] / peak / 1e12, 3)
                for method in METHODS
            }
    if args.save:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
