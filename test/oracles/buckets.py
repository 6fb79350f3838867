"""The bucket assignment of PyTorch: buckets.py COUNT SEED prints COUNT random cases as JSON (needs torch 2.x).

test/ddp/vectors/buckets.json was recorded with an earlier form of this program, whose indices could be larger than the list;
buckets-errors.json has empty lists too.
"""
import json
import random
import sys

import torch
import torch.distributed as dist

DTYPES = {
    "f32": torch.float32,
    "f64": torch.float64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i64": torch.int64,
    "u8": torch.uint8,
}
LIMITS = [[1], [400], [4096], [100, 20000], [1 << 20, 25 << 20], [1024, 4096, 65536]]

count, seed = int(sys.argv[1]), int(sys.argv[2])
draw = random.Random(seed)
cases = []
for _ in range(count):
    n = draw.randint(1, 24)
    kinds = draw.choice([["f32"], ["f32", "f16"], list(DTYPES)])
    tensors = [(draw.choice(kinds), draw.choice([0, 1, 7, 64, 1000, 4096, 30000])) for _ in range(n)]
    limits = draw.choice(LIMITS)
    sparse = [] if draw.random() < 0.5 else [draw.random() < 0.2 for _ in range(n)]
    indices = [] if draw.random() < 0.5 else draw.sample(range(n), n)
    buckets, bucket_limits = dist._compute_bucket_assignment_by_size(
        [torch.empty(c, dtype=DTYPES[t]) for t, c in tensors], limits, sparse, indices
    )
    cases.append(
        {
            "tensors": tensors,
            "limitsBytes": limits,
            "expectSparse": sparse,
            "indices": indices,
            "buckets": buckets,
            "bucketLimitsBytes": bucket_limits,
        }
    )
print(json.dumps({"torch": torch.__version__, "cases": cases}))
