/**
 * What the algorithms' headers say of messages and bytes, as formulas: N ranks, a tensor of `bytes` bytes that
 * divides evenly into its chunks, or blocks of `bytes` each.
 */
import { areaBytesOf, clustersOf } from "./simulate.ts";

export interface CostQuery {
  rank: number;
  size: number;
  /** Bytes of the tensor, or of one rank's block. */
  bytes: number;
  segmentBytes: number;
  root: number;
}

/** Messages and bytes that one rank sends and receives. */
export interface Cost {
  messagesSent: number;
  messagesReceived: number;
  bytesSent: number;
  bytesReceived: number;
}

type Formula = (query: CostQuery) => Cost;

/** Bytes put into areas and got from them: no messages. */
const areas = (bytesSent: number, bytesReceived: number): Cost => ({
  messagesSent: 0,
  messagesReceived: 0,
  bytesSent,
  bytesReceived,
});

/** How many stripes of areas a tensor takes, and what of it is this rank's own share. Both are cut at multiples of 64 bytes. */
function stripes({ rank, size, bytes, segmentBytes }: CostQuery): { count: number; ownBytes: number } {
  const lines = bytes / 64;
  const count = Math.ceil(bytes / areaBytesOf({ size, segmentBytes }));
  let ownLines = 0;
  for (let k = 0; k < count; k++) {
    const stripe = Math.floor((lines * (k + 1)) / count) - Math.floor((lines * k) / count);
    ownLines += Math.floor((stripe * (rank + 1)) / size) - Math.floor((stripe * rank) / size);
  }
  return { count, ownBytes: ownLines * 64 };
}

/** Segments of what is only copied: as few as fit, but two of more than half an area where there are two ranks. */
function segments(query: CostQuery): number {
  const inAreas = query.bytes / areaBytesOf(query);
  return Math.max(query.size === 2 && inAreas > 0.5 ? 2 : 1, Math.ceil(inAreas));
}

/** Steps of the algorithms over areas. */
export const STEPS: Record<string, Record<string, (query: CostQuery) => number>> = {
  allReduce: {
    "areas-direct": (query) => Math.ceil(query.bytes / areaBytesOf(query)),
    areas: (query) => stripes(query).count + 1,
  },
  reduceScatter: { areas: (query) => Math.ceil((query.bytes * query.size) / areaBytesOf(query)) },
  allGather: { areas: segments },
  broadcast: { areas: segments },
  reduce: { areas: (query) => stripes(query).count + 1 },
  barrier: { areas: () => 1 },
};

/** Runs of `bytes`, each in m = ⌈bytes / segmentBytes⌉ messages. */
function runs(sent: number, received: number, bytes: number, segmentBytes: number): Cost {
  const messages = Math.ceil(bytes / segmentBytes);
  return {
    messagesSent: sent * messages,
    messagesReceived: received * messages,
    bytesSent: sent * bytes,
    bytesReceived: received * bytes,
  };
}

/** Runs of `bytes`, each in ⌊bytes / segmentBytes⌋ + 1 messages, the last of which tells the length. */
function told(sent: number, received: number, bytes: number, segmentBytes: number): Cost {
  const messages = Math.floor(bytes / segmentBytes) + 1;
  return {
    ...runs(sent, received, bytes, segmentBytes),
    messagesSent: sent * messages,
    messagesReceived: received * messages,
  };
}

function sum(costs: readonly Cost[]): Cost {
  const total = { messagesSent: 0, messagesReceived: 0, bytesSent: 0, bytesReceived: 0 };
  for (const cost of costs) {
    total.messagesSent += cost.messagesSent;
    total.messagesReceived += cost.messagesReceived;
    total.bytesSent += cost.bytesSent;
    total.bytesReceived += cost.bytesReceived;
  }
  return total;
}

/** `times` (N − 1) runs of a block each way. */
const blocks =
  (times: number): Formula =>
  ({ size, bytes, segmentBytes }) =>
    runs(times * (size - 1), times * (size - 1), bytes, segmentBytes);

/** The same, of chunks of S / N. */
const chunks =
  (times: number): Formula =>
  (query) =>
    blocks(times)({ ...query, bytes: query.bytes / query.size });

/** Children of a rank in the binomial tree: one for every 2^k below the lowest set bit that is within the tree. */
function children({ rank, size, root }: CostQuery): number {
  const relative = (rank - root + size) % size;
  let count = 0;
  for (let distance = 1; distance < size; distance *= 2) {
    if (relative % (2 * distance) !== 0) break;
    if (relative + distance < size) count++;
  }
  return count;
}

const isRoot = ({ rank, root }: CostQuery) => rank === root;

const doubling: Formula = ({ rank, size, bytes, segmentBytes }) => {
  const steps = Math.floor(Math.log2(size));
  const paired = rank < 2 * (size - 2 ** steps);
  const tensors = !paired ? steps : rank % 2 === 0 ? 1 : steps + 1;
  return runs(tensors, tensors, bytes, segmentBytes);
};

const halving: Formula = ({ rank, size, bytes, segmentBytes }) => {
  const steps = Math.floor(Math.log2(size));
  const paired = rank < 2 * (size - 2 ** steps);
  const whole = told(1, 1, bytes, segmentBytes);
  if (paired && rank % 2 === 0) return whole;
  const runsOfChunks = Array.from({ length: steps }, (_, k) => told(2, 2, (bytes / 2 ** steps) * 2 ** k, segmentBytes));
  return sum(paired ? [whole, ...runsOfChunks] : runsOfChunks);
};

/** A message each way per slot at the hub, of `slots`, most of them empty. */
const hub =
  (slots: (messages: number, query: CostQuery) => number, sent: Formula, received: Formula): Formula =>
  (query) => {
    const messages = slots(Math.ceil(query.bytes / query.segmentBytes), query);
    const { bytesSent } = sent(query);
    const { bytesReceived } = received(query);
    return { messagesSent: messages, messagesReceived: messages, bytesSent, bytesReceived };
  };
const once: Formula = ({ bytes, segmentBytes }) => runs(1, 1, bytes, segmentBytes);
const ofRoot: Formula = (query) => (isRoot(query) ? once(query) : runs(0, 0, 0, 1));
const ofOthers: Formula = (query) => (isRoot(query) ? runs(0, 0, 0, 1) : once(query));
const perSegment = (messages: number) => messages;

/** Segment by segment: the delegate has the cluster's traffic and the hub's, another member one message each way. */
const twoLevel: Formula = ({ rank, size, bytes, segmentBytes }) => {
  const cluster = clustersOf(size).find((members) => members.includes(rank))!;
  const costs: Cost[] = [];
  for (let at = 0, slot = 0; at < bytes; at += segmentBytes, slot++) {
    const segment = Math.min(segmentBytes, bytes - at);
    const isDelegate = cluster[slot % cluster.length] === rank;
    const others = cluster.length - 1;
    const link = isDelegate ? runs(others, others, segment, segmentBytes) : runs(1, 1, segment, segmentBytes);
    costs.push(link, { ...runs(1, 1, isDelegate ? segment : 0, segmentBytes), messagesSent: 1, messagesReceived: 1 });
  }
  return sum(costs);
};

const reduceScatterGather: Formula = (query) => {
  const { size, bytes, segmentBytes } = query;
  const gather = isRoot(query) ? runs(0, size - 1, bytes / size, segmentBytes) : runs(1, 0, bytes / size, segmentBytes);
  return sum([chunks(1)(query), gather]);
};

/** By collective and algorithm. */
export const COSTS: Record<string, Record<string, Formula>> = {
  allReduce: {
    "areas-direct": ({ size, bytes }) => areas(bytes, (size - 1) * bytes),
    areas: (query) => {
      const { ownBytes } = stripes(query);
      return areas(query.bytes, (query.size - 1) * ownBytes + query.bytes - ownBytes);
    },
    direct: blocks(1),
    "owner-direct": chunks(2),
    doubling,
    halving,
    ring: chunks(2),
    hub: hub(perSegment, once, once),
    "two-level": twoLevel,
  },
  reduceScatter: {
    areas: ({ size, bytes }) => areas((size - 1) * bytes, (size - 1) * bytes),
    direct: blocks(1),
    ring: blocks(1),
  },
  allGather: {
    areas: ({ size, bytes }) => areas(bytes, (size - 1) * bytes),
    hub: hub((messages, { size }) => messages * size, once, blocks(1)),
    direct: blocks(1),
    ring: blocks(1),
    doubling: ({ size, bytes, segmentBytes }) => {
      const steps = Array.from({ length: Math.ceil(Math.log2(size)) }, (_, k) => Math.min(2 ** k, size - 2 ** k));
      return sum(steps.map((moved) => told(1, 1, moved * bytes, segmentBytes)));
    },
  },
  broadcast: {
    areas: (query) => (isRoot(query) ? areas(query.bytes, 0) : areas(0, query.bytes)),
    hub: hub(perSegment, ofRoot, ofOthers),
    direct: (query) => told(isRoot(query) ? query.size - 1 : 0, isRoot(query) ? 0 : 1, query.bytes, query.segmentBytes),
    binomial: (query) => runs(children(query), isRoot(query) ? 0 : 1, query.bytes, query.segmentBytes),
    "scatter-all-gather": (query) => {
      const { rank, size, bytes, segmentBytes, root } = query;
      if (size === 1) return runs(0, 0, 0, segmentBytes);
      if (isRoot(query)) return runs(2 * (size - 1), 0, bytes / size, segmentBytes);
      const beforeRoot = (rank + 1) % size === root;
      return runs(beforeRoot ? 0 : size - 1, size, bytes / size, segmentBytes);
    },
  },
  reduce: {
    areas: (query) => {
      const { ownBytes } = stripes(query);
      const got = (query.size - 1) * ownBytes;
      const { bytes } = query;
      return isRoot(query) ? areas(bytes - ownBytes, got + bytes - ownBytes) : areas(bytes, got);
    },
    hub: hub(perSegment, once, ofRoot),
    direct: (query) =>
      isRoot(query)
        ? runs(0, query.size - 1, query.bytes, query.segmentBytes)
        : runs(1, 0, query.bytes, query.segmentBytes),
    binomial: (query) => runs(isRoot(query) ? 0 : 1, children(query), query.bytes, query.segmentBytes),
    "reduce-scatter-gather": reduceScatterGather,
    "owner-direct": reduceScatterGather,
  },
  gather: {
    linear: (query) =>
      isRoot(query)
        ? told(0, query.size - 1, query.bytes, query.segmentBytes)
        : told(1, 0, query.bytes, query.segmentBytes),
  },
  scatter: {
    linear: (query) =>
      isRoot(query)
        ? told(query.size - 1, 0, query.bytes, query.segmentBytes)
        : told(0, 1, query.bytes, query.segmentBytes),
  },
  allToAll: {
    pairwise: ({ size, bytes, segmentBytes }) => told(size - 1, size - 1, bytes, segmentBytes),
  },
  barrier: {
    areas: () => areas(0, 0),
    hub: () => ({ messagesSent: 1, messagesReceived: 1, bytesSent: 0, bytesReceived: 0 }),
    dissemination: ({ size }) => {
      const rounds = Math.ceil(Math.log2(size));
      return { messagesSent: rounds, messagesReceived: rounds, bytesSent: 0, bytesReceived: 0 };
    },
  },
  scan: {
    chain: ({ rank, size, bytes, segmentBytes }) =>
      runs(rank < size - 1 ? 1 : 0, rank > 0 ? 1 : 0, bytes, segmentBytes),
  },
};
