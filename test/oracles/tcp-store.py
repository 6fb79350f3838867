"""A client of a TCPStore, or its server: each line of standard input is a call in JSON, each line of standard output its outcome.

  tcp-store.py client HOST PORT   connects        tcp-store.py server   listens; the first line printed is its port
"""
import datetime
import json
import sys

import torch.distributed as dist

TIMEOUT = datetime.timedelta(seconds=30)


def ms(value):
    return datetime.timedelta(milliseconds=value)


def encoded(value):
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"int": str(value)}
    if isinstance(value, (list, tuple)):
        return [encoded(item) for item in value]
    return value


CALLS = {
    "set": lambda s, k, v: s.set(k, v),
    "get": lambda s, k: s.get(k),
    "add": lambda s, k, n: s.add(k, int(n)),
    "compare_set": lambda s, k, e, d: s.compare_set(k, e, d),
    "check": lambda s, keys: s.check(keys),
    "wait": lambda s, keys, limit: s.wait(keys, ms(limit)),
    "delete_key": lambda s, k: s.delete_key(k),
    "num_keys": lambda s: s.num_keys(),
    "append": lambda s, k, v: s.append(k, v),
    "multi_set": lambda s, keys, values: s.multi_set(keys, values),
    "multi_get": lambda s, keys: s.multi_get(keys),
    "queue_push": lambda s, k, v: s.queue_push(k, v),
    "queue_pop": lambda s, k, block: s.queue_pop(k, block),
    "queue_len": lambda s, k: s.queue_len(k),
    "list_keys": lambda s: sorted(s.list_keys()),
    "barrier": lambda s, k, n: s.barrier(k, n),
    "set_timeout": lambda s, limit: s.set_timeout(ms(limit)),
    "many_adds": lambda s, k, n: [s.add(k, 1) for _ in range(n)][-1],
}


def main():
    if sys.argv[1] == "server":
        store = dist.TCPStore("127.0.0.1", 0, None, True, timeout=TIMEOUT, wait_for_workers=False)
    else:
        store = dist.TCPStore(sys.argv[2], int(sys.argv[3]), None, False, timeout=TIMEOUT, wait_for_workers=False)
    print(json.dumps({"port": store.port, "torch": dist.torch.__version__ if hasattr(dist, "torch") else ""}), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            outcome = {"result": encoded(CALLS[name](store, *arguments))}
        except Exception as error:
            outcome = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(outcome), flush=True)


main()
