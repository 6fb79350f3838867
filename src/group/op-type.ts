/** Operation types and backend types: the names by which c10d tells what a Work does, and who does it. */
import { type Collective, valuesOf } from "../types.ts";

const NAMES = [
  "BROADCAST",
  "ALLREDUCE",
  "ALLREDUCE_COALESCED",
  "REDUCE",
  "ALLGATHER",
  "_ALLGATHER_BASE",
  "ALLGATHER_COALESCED",
  "GATHER",
  "SCATTER",
  "REDUCE_SCATTER",
  "ALLTOALL_BASE",
  "ALLTOALL",
  "SEND",
  "RECV",
  "RECVANYSOURCE",
  "BARRIER",
  "_REDUCE_SCATTER_BASE",
  "COALESCED",
  "_ALLREDUCE_SPARSE",
  "UNKNOWN",
] as const;

/** One of c10d's twenty operation types. */
export type OpType = (typeof NAMES)[number];

/**
 * c10d's operation types as values: each is its own name. `scan` and `exscan`, which c10d lacks, are UNKNOWN, and
 * `_ALLREDUCE_SPARSE` never occurs.
 */
export const OpType: { readonly [N in OpType]: N } = valuesOf(NAMES);

const BACKENDS = ["undefined", "gloo", "nccl", "ucc", "mpi", "custom", "direct"] as const;

/**
 * Names of backends, as `backendName` tells them: c10d's, and webccl's own. A backend of your own has the name that you give
 * it; UNDEFINED, GLOO, UCC, MPI and CUSTOM never occur by themselves.
 */
export const BackendType = Object.freeze(Object.fromEntries(BACKENDS.map((name) => [name.toUpperCase(), name]))) as {
  readonly [N in Uppercase<BackendType>]: Lowercase<N>;
};

/** One of {@link BackendType}. */
export type BackendType = (typeof BACKENDS)[number];

/** The operation type of each collective. */
export const OP_TYPES: Readonly<Record<Collective, OpType>> = {
  broadcast: "BROADCAST",
  allReduce: "ALLREDUCE",
  reduce: "REDUCE",
  allGather: "ALLGATHER",
  allGatherIntoTensor: "_ALLGATHER_BASE",
  gather: "GATHER",
  scatter: "SCATTER",
  reduceScatter: "REDUCE_SCATTER",
  reduceScatterTensor: "_REDUCE_SCATTER_BASE",
  allToAll: "ALLTOALL",
  allToAllSingle: "ALLTOALL_BASE",
  barrier: "BARRIER",
  newGroup: "BARRIER",
  registerBackend: "BARRIER",
  setDefaultBackend: "BARRIER",
  scan: "UNKNOWN",
  exscan: "UNKNOWN",
  send: "SEND",
  recv: "RECV",
  recvAnySource: "RECVANYSOURCE",
  allGatherObject: "ALLGATHER",
  broadcastObject: "BROADCAST",
  gatherObject: "GATHER",
  scatterObject: "SCATTER",
  split: "ALLGATHER",
  allReduceCoalesced: "ALLREDUCE_COALESCED",
  allGatherIntoTensorCoalesced: "ALLGATHER_COALESCED",
  reduceScatterTensorCoalesced: "COALESCED",
  broadcastCoalesced: "COALESCED",
};
