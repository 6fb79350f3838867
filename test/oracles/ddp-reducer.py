"""Prints what PyTorch's DistributedDataParallel makes of gradients, as JSON, for test/ddp/reducer-pytorch.test.ts.

    python test/oracles/ddp-reducer.py SEED > test/ddp/vectors/ddp-reducer.json

Four ranks on gloo train a small model whose branches may be left out. Each record has the gradients that each rank's own
backward pass gave (computed by an equal model without DDP), and the gradients that all ranks held after DDP's. Scenarios:
plain steps, unused parameters, no_sync, and Join with uneven inputs.
"""

import copy
import json
import os
import socket
import sys

# PyTorch warns in each step in which no parameter was unused.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

SIZE = 4
STEPS = 20
INPUTS = [3, 20, 11, 7]


class Branches(torch.nn.Module):
    """Three layers, each of which may take no part."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 2)
        self.second = torch.nn.Linear(3, 2)
        self.third = torch.nn.Linear(2, 1)

    def forward(self, x, use):
        y = x[:, :2] * 0.5
        if use & 1:
            y = y + self.first(x)
        if use & 2:
            y = y + self.second(x)
        if use & 4:
            y = self.third(y)
        return y.square().sum()


def values(gradient):
    """The elements, each as the shortest decimal that is nearest to its f32."""
    return None if gradient is None else [float(str(value)) for value in gradient.flatten().numpy()]


def gradients(model):
    return [values(parameter.grad) for parameter in model.parameters()]


class Recorder:
    def __init__(self, rank, seed, **options):
        torch.manual_seed(seed)
        self.rank = rank
        self.local = Branches()
        self.ddp = DistributedDataParallel(copy.deepcopy(self.local), **options)
        self.random = torch.Generator().manual_seed(seed * 1000 + rank)
        self.steps = []

    def own(self, use):
        """This rank's input, and the gradients that it gives without DDP."""
        x = torch.randn(2, 3, generator=self.random)
        self.local.zero_grad(set_to_none=True)
        self.local(x, use).backward()
        return x, gradients(self.local)

    def step(self, use=7, sync=True):
        x, given = self.own(use)
        if sync:
            self.ddp(x, use).backward()
            self.steps.append({"given": given, "sync": True, "averaged": gradients(self.ddp.module)})
            self.ddp.zero_grad(set_to_none=True)
        else:
            with self.ddp.no_sync():
                self.ddp(x, use).backward()
            self.steps.append({"given": given, "sync": False, "averaged": None})


def plain(rank, seed):
    recorder = Recorder(rank, seed)
    for _ in range(STEPS):
        recorder.step()
    return recorder.steps


def unused(rank, seed):
    recorder = Recorder(rank, seed, find_unused_parameters=True)
    choices = torch.Generator().manual_seed(seed + 17 * rank)
    for step in range(STEPS):
        # Every fifth step leaves the third layer out on all ranks.
        use = int(torch.randint(1, 8, (1,), generator=choices))
        recorder.step((use & 3) or 1 if step % 5 == 0 else use)
    return recorder.steps


def no_sync(rank, seed):
    recorder = Recorder(rank, seed)
    for step in range(STEPS):
        recorder.step(sync=step % 3 == 2)
    return recorder.steps


def joined(rank, seed, divide):
    recorder = Recorder(rank, seed)
    with recorder.ddp.join(divide_by_initial_world_size=divide):
        for _ in range(INPUTS[rank]):
            recorder.step()
    return recorder.steps


def merged(ranks):
    """The steps of all ranks: each rank's own gradients, None where it has joined, and the average, which all must hold."""
    result = []
    for number in range(max(len(steps) for steps in ranks)):
        active = [steps[number] for steps in ranks if number < len(steps)]
        averaged = active[0]["averaged"]
        assert all(step["averaged"] == averaged for step in active), f"step {number}: the ranks' averages differ"
        given = [steps[number]["given"] if number < len(steps) else None for steps in ranks]
        result.append({"sync": active[0]["sync"], "given": given, "averaged": averaged})
    return result


def record(rank, port, seed):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=SIZE)
    scenarios = {
        "plain": plain(rank, seed),
        "unused": unused(rank, seed),
        "noSync": no_sync(rank, seed),
        "joinInitial": joined(rank, seed, True),
        "joinActive": joined(rank, seed, False),
    }
    everyone = [None] * SIZE
    dist.all_gather_object(everyone, scenarios)
    if rank == 0:
        shapes = [list(parameter.shape) for parameter in Branches().parameters()]
        names = [name for name, _ in Branches().named_parameters()]
        result = {"torch": torch.__version__, "seed": seed, "names": names, "shapes": shapes, "scenarios": {}}
        for name in scenarios:
            result["scenarios"][name] = merged([ranks[name] for ranks in everyone])
        print(json.dumps(result, separators=(",", ":")))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    mp.spawn(record, args=(free, int(sys.argv[1])), nprocs=SIZE)
