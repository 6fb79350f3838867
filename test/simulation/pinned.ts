/** Schedules that once broke an invariant, in their shortest form, each with the fault of the library that it found. */
import type { Schedule } from "../../src/simulated/run/schedule.ts";

const BASE = { ranks: 3, calls: 1, latencyMs: 1, timeoutMs: 10_000, peerTimeoutMs: 1_500, leaves: "destroy" } as const;

export const PINNED: readonly (readonly [name: string, schedule: Schedule])[] = [
  [
    "a link whose two ends each took the other for lost divided the group",
    {
      ...{ ...BASE, seed: 40_933, topology: "hub", ranks: 7, calls: 2, timeoutMs: 3_000 },
      faults: [{ kind: "cut", where: "rank 1", event: 29, other: "rank 6" }],
    },
  ],
  [
    "so did one to the rank that hosts the hub",
    {
      ...{ ...BASE, seed: 41_486, topology: "hosted", ranks: 5, calls: 6, latencyMs: 20, peerTimeoutMs: 6_000 },
      faults: [{ kind: "cut", where: "rank 4", event: 65, other: "rank 0" }],
    },
  ],
  [
    "ranks whose deadlines passed at once named different ranks",
    {
      ...{ ...BASE, seed: 40_281, topology: "mixed", ranks: 4, calls: 5, latencyMs: 20, timeoutMs: 3_000 },
      peerTimeoutMs: 6_000,
      faults: [{ kind: "crash", where: "rank 2", event: 23, ending: "power" }],
    },
  ],
  [
    "a receive took a damaged message that had waited for it, before the group was dead",
    {
      ...{ ...BASE, seed: 2_295, topology: "hosted", calls: 6, latencyMs: 5, peerTimeoutMs: 6_000 },
      faults: [
        { kind: "flip", where: "rank 2", other: "rank 0", byte: 1_650 },
        { kind: "pause", where: "rank 0", event: 103, ms: 5 },
      ],
    },
  ],
  [
    "a rank that had opened a link never noticed that it was half-open",
    {
      ...{ ...BASE, seed: 75, topology: "hub", calls: 3 },
      faults: [{ kind: "half-open", where: "rank 0", event: 22, other: "rank 2", both: true }],
    },
  ],
  [
    "nor did one whose connection to the hub was half-open",
    {
      ...{ ...BASE, seed: 310, topology: "mixed", ranks: 2, peerTimeoutMs: 6_000 },
      faults: [{ kind: "half-open", where: "hub", event: 17, other: "rank 0", both: true }],
    },
  ],
  [
    "a connection that its other end had closed stayed open for what could not be sent",
    {
      ...{ ...BASE, seed: 24_045, topology: "hosted", ranks: 2, calls: 4, peerTimeoutMs: 6_000 },
      faults: [{ kind: "half-open", where: "rank 0", event: 50, other: "rank 1", both: false }],
    },
  ],
  [
    "a rank that the hub had lost was not told the cause over its other links",
    {
      ...{ ...BASE, seed: 24_850, topology: "hub", ranks: 4, peerTimeoutMs: 6_000 },
      faults: [
        { kind: "cut", where: "rank 1", event: 19, other: "hub" },
        { kind: "crash", where: "rank 0", event: 16, ending: "exit" },
      ],
    },
  ],
  [
    "ranks whose part of the group had died made a call of the whole group, and the others took it for theirs",
    {
      ...{ ...BASE, seed: 801_176, topology: "hosted", ranks: 8, calls: 6, timeoutMs: 3_000, peerTimeoutMs: 6_000 },
      faults: [{ kind: "pause", where: "rank 3", event: 80, ms: 9_000 }],
    },
  ],
  [
    "one that left for that reason was no true cause",
    {
      ...{ ...BASE, seed: 800_423, topology: "tabs", ranks: 8, calls: 8, latencyMs: 2, timeoutMs: 3_000 },
      ...{ peerTimeoutMs: 6_000, faults: [{ kind: "pause", where: "rank 4", event: 19, ms: 9_000 }] },
    },
  ],
  [
    "ranks that a hub held back for the sake of a slow one named all others",
    {
      ...{ ...BASE, seed: 801_288, topology: "tabs", ranks: 6, calls: 5, timeoutMs: 3_000, peerTimeoutMs: 6_000 },
      faults: [{ kind: "slow-reader", where: "rank 3", bytesPerMs: 50 }],
    },
  ],
  [
    "a rank that the hub had shut out made an epoch of its own once the others had ended",
    {
      ...{ ...BASE, seed: 240, topology: "hosted", ranks: 2, calls: 5, latencyMs: 0.1, timeoutMs: 3_000, joins: 0 },
      ...{ peerTimeoutMs: 6_000, faults: [{ kind: "flip", where: "rank 1", other: "rank 0", byte: 19_131 }] },
    },
  ],
  [
    "a rank that a hub held back for what it had in flight itself was named beside the one that was slow",
    {
      ...{
        seed: 965_440,
        topology: "tabs",
        ranks: 8,
        calls: 5,
        latencyMs: 0.5,
        timeoutMs: 3_000,
        peerTimeoutMs: 6_000,
      },
      leaves: "exit",
      faults: [
        { kind: "throttle", where: "rank 1", other: "rank 3", bytesPerMs: 50 },
        { kind: "crash", where: "rank 0", event: 18, ending: "power" },
        { kind: "pause", where: "rank 6", event: 12, ms: 9_000 },
      ],
    },
  ],
  [
    "two ends of a link that was half-open named each other, and the rest was divided, once the store had gone",
    {
      ...{ ...BASE, seed: 1_211_566, topology: "hosted", ranks: 5, calls: 3, latencyMs: 20, timeoutMs: 3_000 },
      faults: [{ kind: "half-open", where: "rank 2", event: 50, other: "rank 1", both: true }],
    },
  ],
  [
    "a link that was cut while it was made was refused as one of a rank that was started twice",
    {
      ...{ ...BASE, seed: 2_000_716, topology: "hub", ranks: 8, latencyMs: 20, timeoutMs: 3_000, peerTimeoutMs: 6_000 },
      faults: [{ kind: "cut", where: "rank 1", event: 19, other: "rank 7" }],
    },
  ],
  [
    "a leader that could decide nothing was named as missing, long before the time was over",
    {
      ...{ ...BASE, seed: 2_001_538, topology: "hosted", calls: 5, latencyMs: 0.1, peerTimeoutMs: 6_000, joins: 1 },
      leaves: "exit",
      faults: [
        { kind: "half-open", where: "rank 2", event: 244, other: "rank 0", both: true },
        { kind: "crash", where: "rank 0", event: 49, ending: "power" },
      ],
    },
  ],
  [
    "ranks with direct links stood still where their hub was started again while they looked whether it had ended",
    {
      ...{ ...BASE, seed: 2_000_178, topology: "hub", ranks: 4, calls: 5, latencyMs: 20, timeoutMs: 3_000, joins: 3 },
      faults: [{ kind: "restart", where: "hub", event: 153, ms: 400 }],
    },
  ],
  [
    "ranks that had done all they had to and left were awaited by one whose bring-up took longer",
    {
      ...{ ...BASE, seed: 2_021_213, topology: "mixed", ranks: 8, latencyMs: 0.1, peerTimeoutMs: 6_000 },
      faults: [
        { kind: "delay", where: "hub", other: "rank 0", ms: 300 },
        { kind: "delay", where: "rank 6", other: "rank 1", ms: 20 },
        { kind: "stall", where: "rank 5", event: 90, other: "rank 3", ms: 5 },
      ],
    },
  ],
  [
    "a member that came to a new hub after another had left there was refused",
    {
      ...{ ...BASE, seed: 3_001_093, topology: "hosted", ranks: 8, latencyMs: 20, timeoutMs: 3_000, joins: 3 },
      ...{ isOneMachine: true, peerTimeoutMs: 60_000, leaves: "exit" },
      faults: [
        { kind: "pause", where: "rank 0", event: 103, ms: 40_000 },
        { kind: "crash", where: "rank 4", event: 237, ending: "exit" },
      ],
    },
  ],
  [
    "what ranks had promised in an admit that came to nothing kept a leader from a majority, once rank 0 was stopped",
    {
      ...{
        ...BASE,
        seed: 3_025_684,
        topology: "hosted",
        ranks: 5,
        calls: 6,
        latencyMs: 20,
        timeoutMs: 3_000,
        joins: 1,
      },
      ...{ isOneMachine: true, peerTimeoutMs: 60_000, leaves: "exit" },
      faults: [
        { kind: "pause", where: "rank 0", event: 72, ms: 90_000 },
        { kind: "crash", where: "rank 3", event: 250, ending: "exit" },
      ],
    },
  ],
  [
    "a rank 0 that was stopped after it had left the group, while it waited for the others to leave its hub, took them along",
    {
      ...{ ...BASE, seed: 330, topology: "hosted", ranks: 8, calls: 9, timeoutMs: 3_000, peerTimeoutMs: 60_000 },
      ...{ joins: 3, isOneMachine: true },
      faults: [
        { kind: "pause", where: "rank 0", event: 215, ms: 90_000 },
        { kind: "crash", where: "rank 2", event: 103, ending: "exit" },
      ],
    },
  ],
  [
    "a leader whose program ended after a shrink took the new hub along before the others had come to it",
    {
      ...{ ...BASE, seed: 83_736, topology: "hosted", latencyMs: 5, timeoutMs: 3_000, joins: 2 },
      faults: [{ kind: "crash", where: "rank 0", event: 122, ending: "exit" }],
    },
  ],
  [
    "a leader that had been followed during an admit was refused the votes of those that came back to their hub",
    {
      ...{ ...BASE, seed: 5, topology: "tabs", ranks: 4, calls: 30, latencyMs: 2, peerTimeoutMs: 6_000, joins: 0 },
      faults: [{ kind: "restart", where: "hub", event: 110, ms: 400 }],
    },
  ],
  [
    "a rank that found no new hub left its port open",
    {
      ...{ ...BASE, seed: 46_555, topology: "mixed", calls: 2, latencyMs: 5, peerTimeoutMs: 6_000, joins: 2 },
      faults: [
        { kind: "pause", where: "rank 1", event: 127, ms: 9_000 },
        { kind: "crash", where: "hub", event: 53, ending: "exit" },
      ],
    },
  ],
];
