"""torch.distributed's gloo's side of the comparison; arguments and output are those of open-mpi.c.

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say where the ranks meet. Collectives that gloo does not have exit with 3.
"""

import sys
import time

import torch
import torch.distributed as dist

name, warmups, iterations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if name not in ("all_reduce", "all_gather", "broadcast", "all_to_all"):
    sys.exit(3)
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()


def pattern(count, who):
    return ((torch.arange(count) * 7 + who * 3) % 4).float()


def expected(count):
    if name == "all_to_all":
        return torch.cat([pattern(count, who).chunk(ranks)[rank] for who in range(ranks)])
    if name == "all_reduce":
        return sum(pattern(count, who) for who in range(ranks))
    if name == "broadcast":
        return pattern(count, 0)
    return torch.cat([pattern(count, who) for who in range(ranks)])


for size in map(int, sys.argv[4:]):
    count = max(1, size // 4 // (ranks if name == "all_gather" else 1))
    if name == "all_to_all":
        count = max(ranks, count - count % ranks)
    data = torch.zeros(count)
    blocks = [torch.zeros(count) for _ in range(ranks)] if name == "all_gather" else []
    received = torch.zeros(count) if name == "all_to_all" else data

    def run():
        if name == "all_reduce":
            dist.all_reduce(data)
        elif name == "broadcast":
            dist.broadcast(data, 0)
        elif name == "all_to_all":
            dist.all_to_all_single(received, data)
        else:
            dist.all_gather(blocks, data)

    def check():
        data.copy_(pattern(count, rank))
        run()
        result = torch.cat(blocks) if blocks else received
        return int((result != expected(count)).sum())

    wrong = check()
    data.zero_()
    for _ in range(warmups):
        run()
    dist.barrier()
    times = []
    for _ in range(iterations):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e6)
    wrong += check()
    slowest = torch.tensor(times, dtype=torch.float64)
    dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
    total = torch.tensor([wrong])
    dist.all_reduce(total)
    if rank == 0:
        print(size, f"{slowest.sort().values[iterations // 2].item():.3f}", total.item(), flush=True)
