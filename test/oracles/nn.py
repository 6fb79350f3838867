"""
The oracle of webccl/nn: torch.distributed.nn.functional on gloo. Reads calls as JSON from stdin, and writes what every rank got for
each of them, `y` and the gradient `gx`, as JSON to stdout. PyTorch's own gradient of a reduction other than SUM is wrong, and is
not asked for; the result of `reduce` off root is undefined, and is null.
"""

import json
import os
import sys
import tempfile

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as functional
import torch.multiprocessing as multiprocessing

OPS = {
    "sum": dist.ReduceOp.SUM,
    "min": dist.ReduceOp.MIN,
    "max": dist.ReduceOp.MAX,
    "product": dist.ReduceOp.PRODUCT,
}


def call(case, rank, x):
    """The results of one call, as a list of tensors."""
    name, root, op, size, counts = (case[key] for key in ("collective", "root", "op", "size", "counts"))
    if name == "allReduce":
        return [functional.all_reduce(x[0], OPS[op])]
    if name == "reduce":
        return [functional.reduce(x[0], root, OPS[op])]
    if name == "reduceScatter":
        return [functional.reduce_scatter(torch.empty_like(x[rank]), x, OPS[op])]
    if name == "broadcast":
        return [functional.broadcast(x[0], root)]
    if name == "gather":
        return list(functional.gather(x[0], root))
    if name == "scatter":
        return [functional.scatter(x, root)]
    if name == "allGather":
        return list(functional.all_gather(x[0]))
    if name == "allToAll":
        return list(functional.all_to_all([torch.empty_like(tensor) for tensor in x], x))
    inputs = counts[rank]
    outputs = [counts[other][rank] for other in range(size)]
    return [functional.all_to_all_single(torch.empty(sum(outputs), dtype=x[0].dtype), x[0], outputs, inputs)]


def answer(case, rank):
    def tensors(name, grad):
        return [torch.tensor(values, dtype=torch.float64, requires_grad=grad) for values in case[name][rank]]

    x = tensors("x", True)
    receives = case["collective"] == "scatter" and rank != case["root"]
    if receives:
        x = [torch.zeros(case["counts"][0][0], dtype=torch.float64, requires_grad=True) for _ in range(case["size"])]
    y = call(case, rank, x)
    values = [tensor.tolist() for tensor in y]
    if case["collective"] == "reduce" and rank != case["root"]:
        values = None
    if case["op"] != "sum":
        return {"y": values, "gx": None}
    gx = torch.autograd.grad(y, x, tensors("gy", False))
    return {"y": values, "gx": [] if receives else [tensor.tolist() for tensor in gx]}


def run_rank(rank, size, cases, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting{size}", rank=rank, world_size=size)
    answers = [answer(case, rank) for case in cases]
    with open(f"{folder}/{size}-{rank}", "w") as file:
        json.dump(answers, file)
    dist.destroy_process_group()


def main():
    cases = json.load(sys.stdin)
    answers = [None] * len(cases)
    with tempfile.TemporaryDirectory() as folder:
        for size in sorted({case["size"] for case in cases}):
            places = [place for place, case in enumerate(cases) if case["size"] == size]
            own = [cases[place] for place in places]
            multiprocessing.spawn(run_rank, (size, own, folder), nprocs=size)
            by_rank = []
            for rank in range(size):
                with open(os.path.join(folder, f"{size}-{rank}")) as file:
                    by_rank.append(json.load(file))
            for i, place in enumerate(places):
                of_ranks = [by_rank[rank][i] for rank in range(size)]
                answers[place] = {key: [one[key] for one in of_ranks] for key in ("y", "gx")}
    json.dump({"torch": torch.__version__.split("+")[0], "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()
