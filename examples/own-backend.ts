// A backend of your own: the ranks' tensors meet in the group's store, where yours would use a network of its own.
//
//   npx webccl run -n 3 examples/own-backend.ts
import { type BackendContext, initProcessGroup, MismatchError, type OwnBackend } from "webccl";

function overStore({ rank, size, store }: BackendContext): OwnBackend {
  const keyOf = (sequence: number, peer: number) => `call ${sequence} of rank ${peer}`;
  const keys = (sequence: number) => Array.from({ length: size }, (_, peer) => keyOf(sequence, peer));

  async function exchange(own: Uint8Array, sequence: number): Promise<Uint8Array[]> {
    await store.set(keyOf(sequence, rank), own);
    const all = await store.multiGet(keys(sequence));
    const other = all.findIndex(({ byteLength }) => byteLength !== own.byteLength);
    if (other >= 0) throw new MismatchError(`rank ${other} makes another call, or none`);
    return all;
  }

  return {
    name: "store",
    async allReduce({ tensor: { dtype, memory, buffer, byteOffset, count }, op }, { sequence }) {
      if (memory !== "host" || dtype !== "f32" || op.name !== "sum") throw new TypeError("only sums of f32 here");
      const sums = new Float32Array(buffer, byteOffset, count);
      const inputs = await exchange(new Uint8Array(sums.slice().buffer), sequence);
      const others = inputs.map((input) => new Float32Array(input.slice().buffer));
      for (let i = 0; i < count; i++) sums[i] = others.reduce((sum, other) => Math.fround(sum + (other[i] ?? 0)), 0);
    },
    barrier: (_, { sequence }) => exchange(Uint8Array.of(1), sequence).then(() => undefined),
    sitOut: (sequence) => void store.set(keyOf(sequence, rank), ""),
    stragglers: async () => [],
    withdraw: () => false,
    abort: () => {},
    dispose: async () => {},
  };
}
const group = await initProcessGroup({ backend: overStore });
const tensor = Float32Array.of(1, 10).map((value) => value * (group.rank + 1));
await group.allReduce(tensor).then(() => console.log(`${group.backendName}, rank ${group.rank}: ${tensor.join(" ")}`));
await group.allGatherObject(1).catch((error) => console.log(`rank ${group.rank}: ${error}`));
await group.destroy();
