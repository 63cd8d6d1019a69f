"""Processes started by torchrun, over gloo: together they compute what one process computes alone."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed_step
import pytest
import torch
import torch.distributed as dist
from pictures import write_picture_folder
from safetensors.torch import load_file
from torch import nn

from encoder.errors import ConfigError
from training.checkpoint import CHECKPOINT_NAME, build_model, read_state
from training.distributed import SyncBatchNorm1d, World, process_group, world_from_environment
from training.recipe import Recipe

ROOT = Path(__file__).parents[2]
SMALL = {"encoder": "nano", "image_size": 32, "patch_size": 8, "hidden_dim": 64, "projection_dim": 32}


def torchrun(num_processes, *arguments, **options):
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={num_processes}", "--standalone"]
    return subprocess.Popen(
        [*command, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, **options,
    )  # fmt: skip


def finish(process, timeout=240):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


CASES = [
    {"local": "zero"},
    {"local": "drop"},
    {"local": "none", "micro_batch": 3},
    {"local": "zero", "projector": "none", "momentum_updates": 4},
    {"local": "drop", "num_small_crops": 2, "small_crop_size": 16, "micro_batch": 5},
    {"local": "zero", "repeats": 4},
    {"local": "zero", "image_size": 48, "image_size_start": 32},
    {"local": "drop", "micro_batch": 5, "supervision": "labels", "rank_weights": (1.0, 0.5)},
    {
        "local": "drop",
        "supervision": "labels",
        "rank_weights": (1.0, 0.5),
        "repeats": 2,
        "num_small_crops": 1,
        "small_crop_size": 16,
    },
]


def inputs_of(changes):
    """Two views of twelve pictures, and what else a recipe wants."""
    generator = torch.Generator().manual_seed(2)
    view1, view2 = (torch.randn(12, 3, 32, 32, generator=generator) for _ in range(2))
    small = torch.randn(2, 12, 3, 16, 16, generator=generator) if "num_small_crops" in changes else None
    labels = None
    if "supervision" in changes:
        labels = torch.tensor([[0, 1, 2, 0, -1, 3, 3, 2, 0, 1, -1, 4], [0, 0, 1, 0, 1, 2, 2, 1, 0, 0, -1, 2]]).T
    return {
        "recipe": {**SMALL, **changes}, "view1": view1, "view2": view2, "small": small, "momentum": 0.9,
        "labels": labels,
    }  # fmt: skip


@pytest.fixture(scope="module")
def steps_of_two(tmp_path_factory):
    """A folder a case, with what each of two processes made of it; these are started once for all."""
    folder = tmp_path_factory.mktemp("steps")
    for number, changes in enumerate(CASES):
        (folder / str(number)).mkdir()
        torch.save(inputs_of(changes), folder / str(number) / "inputs.pt")
    code, _, err = finish(torchrun(2, distributed_step.__file__, folder))
    assert code == 0, err
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)), ids=["-".join(map(str, case.values())) for case in CASES])
def test_two_processes_give_the_loss_and_the_gradients_of_one(number, steps_of_two):
    """Largest difference seen: 2.3e-6 of a gradient's norm (float32 sums in another order); 2e-5 is allowed.

    Without the gathered keys, or with each process's own batch statistics, it is above 0.3. Where there are labels,
    pictures of the two processes share them at two ranks, and some lack one or both.
    """
    inputs = inputs_of(CASES[number])
    view1, view2, labels, small = (inputs[name] for name in ("view1", "view2", "labels", "small"))
    alone = build_model(Recipe(**inputs["recipe"])).train()
    losses = alone(view1, view2, 0.9, torch.Generator().manual_seed(0), labels, small_MB3SS=small)
    losses.total.backward()
    expected = {name: p.grad for name, p in alone.named_parameters() if p.grad is not None}
    ranks = [torch.load(steps_of_two / str(number) / f"rank-{rank}.pt") for rank in range(2)]

    mean_losses = torch.stack([rank["losses"] for rank in ranks]).mean(dim=0)
    alone_losses = torch.stack([losses.global_branch.detach(), losses.local_branch.detach()])
    torch.testing.assert_close(mean_losses, alone_losses, rtol=1e-5, atol=1e-6)
    # A bias before a batch norm has no gradient but rounding: differences are measured against the typical gradient.
    typical = torch.stack([gradient.norm() for gradient in expected.values()]).median()
    for rank in ranks:
        assert rank["gradients"].keys() == expected.keys()
        for name, gradient in expected.items():
            difference = (rank["gradients"][name] - gradient).norm()
            assert difference <= 2e-5 * max(gradient.norm(), typical), name
        for name, value in alone.state_dict().items():  # momentum encoder and running statistics
            torch.testing.assert_close(rank["state"][name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_a_lone_process_has_pytorchs_batch_norm():
    torch.manual_seed(0)
    ours, theirs = SyncBatchNorm1d(5), nn.BatchNorm1d(5)
    for _ in range(2):
        rows = torch.randn(7, 5)
        assert torch.equal(ours(rows), theirs(rows))
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_the_environment_says_who_we_are(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert world_from_environment() == World(0, 1, 0)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="torchrun"):
        world_from_environment()
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert world_from_environment() == World(3, 4, 1)
    assert not world_from_environment().is_first


@pytest.mark.parametrize(
    ("device", "local_rank", "gpu"), [("cuda", 0, 0), ("cuda", 2, 2), ("cuda:3", 3, 3), ("cuda:1", 0, 1)]
)
def test_each_process_takes_a_gpu_by_its_number(monkeypatch, device, local_rank, gpu):
    """torch takes no device without a number, which is what the first process of a machine has."""
    taken, joined = [], []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **_: joined.append(backend))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: joined.append("left"))
    with process_group(World(local_rank, 4, local_rank), torch.device(device)):
        pass
    assert (taken, joined) == ([gpu], ["nccl", "left"])


TRAIN = [f"--{name.replace('_', '-')}={value}" for name, value in {**SMALL, "batch_size": 4, "lr": 1e-3}.items()]


@pytest.mark.slow
def test_the_command_line_under_torchrun_trains_resumes_and_stops(tmp_path):
    photos = write_picture_folder(tmp_path / "photos", per_label=4)  # 3 steps an epoch

    def command(run, *more):
        return "-m", "lodisc", "train", "--data", photos, "--out", tmp_path / run, *TRAIN, "--device=cpu", *more

    code, out, err = finish(torchrun(2, *command("whole", "--epochs=2")))
    assert code == 0, err
    assert out.count("trained 6 of 6 steps") == 1  # the first process alone talks
    for max_steps in (2, 6):
        code, out, err = finish(torchrun(2, *command("parts", "--epochs=2", "--max-steps", max_steps)))
        assert code == 0, err
    one, other = (load_file(tmp_path / run / CHECKPOINT_NAME) for run in ("whole", "parts"))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []

    process = torchrun(2, *command("stopped", "--epochs=100000"))
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not (tmp_path / "stopped" / "log.jsonl").is_file():
        time.sleep(0.2)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, out, err = finish(process)
    step = int(re.search(r"stopped at step (\d+)", out)[1])
    assert read_state(tmp_path / "stopped").step == step > 0


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_one_clear_line(tmp_path):
    photos = write_picture_folder(tmp_path / "photos", per_label=4)
    arguments = ["--data", photos, "--out", tmp_path / "run", *TRAIN, "--batch-size=5", "--device=cpu"]
    code, _, err = finish(torchrun(2, "-m", "lodisc", "train", *arguments))
    assert code != 0
    assert "batch_size is 5, expected a multiple of the 2 processes" in err
