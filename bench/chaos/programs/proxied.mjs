// A rank whose connections cross a bad network: CALLS calls of every kind of message, each of which must be right or rejected.
import { initProcessGroup } from "webccl";

const { TRANSPORT, CALLS, LISTEN } = process.env;
const listen = LISTEN ? JSON.parse(LISTEN) : {};
const wrong = (name, value) => process.send({ wrong: `${name}: ${value}` });
let group = null;
let made = 0;
try {
  // Checksums are "auto" beyond one host, and between two ranks of one host off: this network is no loopback.
  const logger = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };
  const options = { transport: TRANSPORT, backend: "cpu", integrity: "on", timeoutMs: 20_000, logger };
  group = await initProcessGroup({ ...options, listen });
  const { rank, size } = group;
  for (; made < Number(CALLS); made++) {
    const sum = new Float32Array(20_000).map((_, i) => rank + (i % 100));
    await group.allReduce(sum);
    const badSum = sum.find((value, i) => value !== (size * (size - 1)) / 2 + size * (i % 100));
    if (badSum !== undefined) wrong("allReduce", badSum);
    const shown = new Int32Array(3_000).fill(rank === 1 ? made + 7 : -1);
    await group.broadcast(shown, { root: 1 });
    const badShown = shown.find((value) => value !== made + 7);
    if (badShown !== undefined) wrong("broadcast", badShown);
    const got = new Int32Array(500);
    const from = (rank + size - 1) % size;
    await Promise.all([group.send(new Int32Array(500).fill(rank), (rank + 1) % size), group.recv(got, from)]);
    const badGot = got.find((value) => value !== from);
    if (badGot !== undefined) wrong("recv", badGot);
  }
  process.send({ made });
} catch (error) {
  process.send({ made, error: error.name, code: error.code, text: error.message, at: Date.now() });
}
await group?.destroy().catch((error) => process.send({ destroy: error.message }));
process.disconnect();
