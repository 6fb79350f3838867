/** Ranks whose program ends in one way or another, as the first argument says; the second is a transport. */
import { initProcessGroup } from "webccl";

const [scene, transport = "auto"] = process.argv.slice(2);
const stand = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const inMemory = () =>
  Promise.all(
    [0, 1].map((rank) => initProcessGroup({ initMethod: "memory://job", rank, worldSize: 2, timeoutMs: 60_000 })),
  );
const inProcesses = () => initProcessGroup({ timeoutMs: 60_000, transport, backend: "cpu" });

const scenes = {
  /** Every rank reduces, and forgets to destroy its group. */
  async forgets() {
    const group = await inProcesses();
    await group.allReduce(Float32Array.of(1));
    console.log(`rank ${group.rank} is done`);
  },
  /** Rank 1's program ends while a receive is pending, which rank 0 serves later. */
  async pending() {
    const group = await inProcesses();
    await group.barrier();
    if (group.rank === 0) {
      stand(500);
      await group.send(Float32Array.of(7), 1);
    } else if (group.rank === 1) {
      const tensor = new Float32Array(1);
      group.recv(tensor, 0).then(() => console.log(`received ${tensor[0]}`));
    }
  },
  /** Rank 0, which has the hub, has nothing left to do; the others go on for a while. */
  async host() {
    const group = await inProcesses();
    const others = await group.newGroup([1, 2]);
    if (!others) return;
    stand(500);
    const sum = Float32Array.of(group.rank);
    await others.allReduce(sum);
    console.log(`sum ${sum[0]}`);
    await group.destroy();
  },
  async "memory, destroyed"() {
    const groups = await inMemory();
    const late = groups[0].recv(new Float32Array(1), 1).wait(60_000);
    late.catch(() => {});
    await Promise.all(groups.map((group) => group.destroy()));
    console.log("done");
  },
  async "memory, forgotten"() {
    const groups = await inMemory();
    await Promise.all(groups.map((group) => group.allReduce(Float32Array.of(1))));
    console.log("done");
  },
  async "memory, waiting for nothing"() {
    const groups = await inMemory();
    console.log("done");
    for (const work of [groups[0].recv(new Float32Array(1), 1), groups[1].barrier()]) work.wait(60_000).catch(() => {});
  },
};
await scenes[scene]();
