"""Gradients and hook results of DistributedDataParallel on gloo: ddp-hooks.py RANKS SEED prints JSON (needs torch 2.x).

A small model is trained for 20 steps, every rank with data of its own. Of each step: the gradients of every rank as they came
to the hook, the result of allreduce_hook, and that of fp16_compress_hook for the same gradients; f32, base64. The bucket is one.
"""
import base64
import json
import os
import socket
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook, fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel

STEPS = 20


def train(rank, size, seed, port, queue):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=size)
    torch.manual_seed(seed)
    model = DistributedDataParallel(
        torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    )
    steps = []

    def hook(group, bucket):
        buffer = bucket.buffer()
        gradients = buffer.clone()
        halved = fp16_compress_hook(group, bucket).wait()
        halved = (halved[0] if isinstance(halved, list) else halved).clone()
        buffer.copy_(gradients)
        mean = allreduce_hook(group, bucket).wait()
        mean = (mean[0] if isinstance(mean, list) else mean).clone()
        steps.append([gradients, mean, halved])
        future = torch.futures.Future()
        future.set_result(mean)
        return future

    model.register_comm_hook(None, hook)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(seed + 1 + rank)
    for _ in range(STEPS):
        optimizer.zero_grad()
        inputs = torch.randn(5, 6)
        loss = (model(inputs) - inputs[:, :3].sin()).pow(2).mean()
        loss.backward()
        optimizer.step()
    queue.put((rank, [[encode(tensor) for tensor in step] for step in steps]))
    dist.barrier()
    dist.destroy_process_group()


def encode(tensor):
    return base64.b64encode(tensor.numpy().tobytes()).decode()


if __name__ == "__main__":
    size, seed = int(sys.argv[1]), int(sys.argv[2])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=train, args=(rank, size, seed, port, queue)) for rank in range(size)]
    for process in processes:
        process.start()
    ranks = [steps for _, steps in sorted(queue.get() for _ in processes)]
    for process in processes:
        process.join()
    steps = [
        {"gradients": [steps[i][0] for steps in ranks], "mean": ranks[0][i][1], "halved": ranks[0][i][2]}
        for i in range(STEPS)
    ]
    print(json.dumps({"torch": torch.__version__, "ranks": size, "steps": steps}))
