/**
 * NCCL and CUDA memory for Node and Deno. index.d.ts describes each export. The addon is loaded at first use, and each of the
 * two libraries at its own first use, so importing this package never fails.
 */
export { Communicator, initAll, initRank } from "./lib/communicator.js";
export {
  alive,
  deviceCount,
  devices,
  errorString,
  getUniqueId,
  libraryPath,
  load,
  UNIQUE_ID_BYTES,
  version,
  versionSuffix,
  versionTuple,
} from "./lib/library.js";
export { allGather, allReduce, broadcast, reduce, reduceScatter } from "./lib/lists.js";
export { DeviceBuffer } from "./lib/memory.js";
export { Event, Stream } from "./lib/stream.js";
