"""Calls a second of PyTorch's TCPStore clients at a server, for bench/tcp-store.ts: tcp-store-load.py PORT CLIENTS ADDS SETS"""
import datetime
import json
import sys
import threading
import time

import torch.distributed as dist

port, clients, adds, sets = (int(word) for word in sys.argv[1:])
limit = datetime.timedelta(seconds=60)
stores = [dist.TCPStore("127.0.0.1", port, None, False, timeout=limit, wait_for_workers=False) for _ in range(clients)]


def rate(call, times):
    def run(store):
        for _ in range(times):
            call(store)
        store.num_keys()

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clients * times / (time.perf_counter() - began)


before = stores[0].add("counter", 0)
added = rate(lambda store: store.add("counter", 1), adds)
assert stores[0].add("counter", 0) - before == clients * adds
print(json.dumps({"adds": added, "sets": rate(lambda store: store.set("key", "value"), sets)}))
