// Ranks sum ones, and tell how they are joined, why, and what came of it.
import { initProcessGroup } from "webccl";

const warnings = [];
const logger = { error: () => {}, warn: (text) => warnings.push(text), info: () => {}, debug: () => {} };
const group = await initProcessGroup({ timeoutMs: 20_000, logger });
const tensor = group.alloc("f32", 1_000_000).fill(1);
await group.allReduce(tensor);
const { ranks, sharedFile, mappedMemory } = group.info();
const right = tensor.every((value) => value === group.size);
console.log(JSON.stringify({ links: ranks.map(({ link }) => link), sharedFile, mappedMemory, warnings, right }));
await group.destroy();
