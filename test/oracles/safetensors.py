"""safetensors, as Hugging Face's library writes and reads it (packages safetensors and numpy).

safetensors.py record FILE    writes the file of test/ddp/vectors
safetensors.py check IN OUT   reads IN, prints its tensors as JSON, and writes them again to OUT
"""
import json
import sys

sys.path = sys.path[1:]  # This file has the name of the package.
import numpy  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

if sys.argv[1] == "record":
    tensors = {
        "weight": numpy.arange(6, dtype=numpy.float32).reshape(2, 3) / 2,
        "bias": numpy.array([1, -2, 0.25], dtype=numpy.float16),
        "ids": numpy.array([-1, 2**62], dtype=numpy.int64),
        "bytes": numpy.arange(5, dtype=numpy.uint8),
        "scalar": numpy.array(numpy.pi),
        "empty": numpy.zeros((0, 4), dtype=numpy.float32),
    }
    save_file(tensors, sys.argv[2], {"format": "np"})
else:
    tensors = load_file(sys.argv[2])
    with safe_open(sys.argv[2], "np") as file:
        metadata = file.metadata()
    save_file(tensors, sys.argv[3], metadata)
    facts = {name: [str(t.dtype), list(t.shape), t.tobytes().hex()] for name, t in tensors.items()}
    print(json.dumps({"tensors": facts, "metadata": metadata}))
