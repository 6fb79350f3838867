import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { WasmMemory } from "../../src/executor/cpu/wasm-memory.ts";
import { DIRECTORY_BYTES, Directory, MAX_THREADS, threadEnded } from "../../src/link/threads/directory.ts";
import type { ThreadLink } from "../../src/link/threads/link.ts";
import { isBellKey, ThreadLinks } from "../../src/link/threads/links.ts";
import { blockSize, ringBytesFor } from "../../src/link/threads/ring-buffer.ts";
import { AddressableGate } from "../../src/region/addressable/gate.ts";
import { gateBytes } from "../../src/region/addressable/gate-words.ts";
import { ThreadSleep } from "../../src/region/addressable/sleep.ts";

/** Two ranks of one job, here in one thread, each with its own part of the memory. */
function job(): { memory: WebAssembly.Memory; ranks: { heap: WasmMemory; directory: Directory }[] } {
  const memory = new WebAssembly.Memory({ initial: DIRECTORY_BYTES / 65_536, maximum: 1024, shared: true });
  const ranks = [0, 1].map((thread) => {
    const heap = new WasmMemory(memory);
    return { heap, directory: new Directory(heap, thread) };
  });
  return { memory, ranks };
}

describe("Directory", () => {
  it("gives all who ask one block of zeros, and takes it back from the last", () => {
    const [first, second] = job().ranks as [
      { heap: WasmMemory; directory: Directory },
      { heap: WasmMemory; directory: Directory },
    ];
    const address = first.directory.acquire(2 ** 52 + 7, 1000);
    expect(second.directory.acquire(2 ** 52 + 7, 1000)).toBe(address);
    expect(second.directory.acquire(7, 64)).not.toBe(address);
    const used = first.heap.usedBytes;
    first.directory.release(2 ** 52 + 7);
    expect(first.heap.usedBytes).toBe(used);
    new Uint8Array(first.heap.bufferTo(address + 1), address, 1)[0] = 9;
    second.directory.release(2 ** 52 + 7);
    const again = first.directory.acquire(2 ** 52 + 7, 1000);
    expect(new Uint8Array(first.heap.bufferTo(again + 1), again, 1)[0]).toBe(0);
    expect(first.heap.usedBytes).toBe(used);
  });

  it("keeps every key apart from the others, however many were taken out before", () => {
    const action = fc.record({
      thread: fc.nat({ max: 1 }),
      // Keys that begin their search at the same few entries, and run over the table's end.
      key: fc.tuple(fc.nat({ max: 3 }), fc.constantFrom(0, 1, 3_582, 3_583)).map(([turn, at]) => turn * 3_584 + at),
      takes: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const { ranks } = job();
        const unused = ranks.map(({ heap }) => heap.usedBytes);
        const users = new Map<number, { address: number; holders: number[] }>();
        const free = ({ thread, key }: { thread: number; key: number }) => {
          const block = users.get(key);
          if (!block?.holders.includes(thread)) return;
          ranks[thread]!.directory.release(key);
          block.holders.splice(block.holders.indexOf(thread), 1);
          if (block.holders.length === 0) users.delete(key);
        };
        for (const { thread, key, takes } of actions) {
          if (!takes) free({ thread, key });
          else {
            const address = ranks[thread]!.directory.acquire(key, 64);
            const block = users.get(key) ?? { address, holders: [] };
            expect(address).toBe(block.address);
            for (const [other, { address: taken }] of users) if (other !== key) expect(taken).not.toBe(address);
            block.holders.push(thread);
            users.set(key, block);
          }
        }
        for (const [key, { holders }] of [...users]) for (const thread of [...holders]) free({ thread, key });
        // Whoever made a block takes it back at its own next visit.
        for (const { directory } of ranks) directory.release(0);
        expect(ranks.map(({ heap }) => heap.usedBytes)).toEqual(unused);
      }),
    );
  });
});

describe("ringBytesFor", () => {
  it("gives rings that hold frames, and lets all of the most threads fit into the memory", () => {
    for (let threads = 2; threads <= MAX_THREADS; threads++) {
      expect(Number.isInteger(Math.log2(ringBytesFor(threads)))).toBe(true);
      expect(ringBytesFor(threads)).toBeGreaterThanOrEqual(8_192);
      expect(threads * blockSize(threads).byteLength).toBeLessThan(2 ** 30);
    }
  });
});

/** The gate of one of two threads. */
const gateOf = (words: Int32Array, rank: number, cores: number) =>
  new AddressableGate(words, { rank, size: 2, cores, sleep: new ThreadSleep(words) });

describe("AddressableGate", () => {
  it("opens when all have come, and names who has not", async () => {
    const words = new Int32Array(new SharedArrayBuffer(gateBytes(2)));
    const gates = [0, 1].map((rank) => gateOf(words, rank, 1));
    for (let step = 0; step < 5; step++) {
      expect(gates[0]!.arrive()).toBe(false);
      expect(gates[0]!.missing()).toEqual([1]);
      const passed = gates[0]!.passed();
      expect(gates[1]!.arrive()).toBe(true);
      await passed;
      expect(gates[0]!.missing()).toEqual([]);
    }
  });

  it("has one rank do what any gives to be done once, and stays in step", async () => {
    const words = new Int32Array(new SharedArrayBuffer(gateBytes(2)));
    const gates = [0, 1].map((rank) => gateOf(words, rank, 1));
    let ran = 0;
    const once = () => {
      ran++;
    };
    for (const [first, second] of [
      [once, undefined],
      [undefined, once],
      [once, once],
      [undefined, undefined],
    ] as const) {
      expect(gates[0]!.arrive(first)).toBe(false);
      const passed = gates[0]!.passed();
      expect(gates[1]!.arrive(second)).toBe(true);
      await passed;
      expect(gates[0]!.missing()).toEqual([]);
    }
    expect(ran).toBe(3);
  });

  it("opens for ranks that have cores, too, after many loops in vain", async () => {
    const words = new Int32Array(new SharedArrayBuffer(gateBytes(2)));
    const gates = [0, 1].map((rank) => gateOf(words, rank, 2));
    for (let step = 0; step < 40; step++) {
      const [first, second] = step % 2 === 0 ? [0, 1] : [1, 0];
      expect(gates[first]!.arrive()).toBe(false);
      expect(gates[first]!.missing()).toEqual([second]);
      const passed = gates[first]!.passed();
      expect(gates[second]!.arrive()).toBe(true);
      await passed;
    }
  });

  it("holds a thread up for no longer than a millisecond or so", () => {
    const words = new Int32Array(new SharedArrayBuffer(gateBytes(2)));
    const times = Array.from({ length: 20 }, () => {
      const gate = gateOf(words, 0, 1);
      const start = performance.now();
      gate.arrive();
      return performance.now() - start;
    });
    expect(times.sort((a, b) => a - b)[10]).toBeLessThan(3);
  });
});

describe("ThreadLink", () => {
  let open: ThreadLinks[] = [];
  afterEach(() => {
    for (const links of open) links.close();
  });

  function pair(threads = 2): { memory: WebAssembly.Memory; heaps: WasmMemory[]; ends: [ThreadLink, ThreadLink] } {
    const { memory, ranks } = job();
    open = ranks.map(
      ({ heap, directory }, rank) => new ThreadLinks({ heap, directory, thread: rank, threads, job: 7 }),
    );
    const ends = open.map((links, rank) => links.link(1 - rank));
    return { memory, heaps: ranks.map(({ heap }) => heap), ends: ends as [ThreadLink, ThreadLink] };
  }

  it.each([2, MAX_THREADS])(
    "brings frames of every length in order, more than the ring of %i threads holds",
    async (threads) => {
      const { heaps, ends } = pair(threads);
      const lengths = Array.from({ length: 400 }, (_, i) => [0, 1, 33, 4_096, 4_097, 70_000][i % 6]!);
      const got: number[] = [];
      const wrong: number[] = [];
      const all = new Promise<void>((resolve) => {
        ends[1].start({
          onFrame: (header, payload) => {
            const bytes = new Uint8Array(payload.byteLength);
            payload.copyTo(bytes);
            if (bytes.some((byte) => byte !== header[0])) wrong.push(got.length);
            got.push(payload.byteLength);
            if (got.length === lengths.length) resolve();
          },
          onDamaged: () => {},
          onClose: () => {},
        });
      });
      ends[0].start({ onFrame: () => {}, onDamaged: () => {}, onClose: () => {} });
      const before = heaps[0]!.usedBytes;
      const sent = lengths.map(
        (length, i) =>
          new Promise<void>((resolve) => {
            const payload = new Uint8Array(length).fill(i % 251);
            ends[0].send(new Uint8Array(40).fill(i % 251), length > 0 ? payload : null, resolve);
          }),
      );
      await Promise.all([all, ...sent]);
      expect(got).toEqual(lengths);
      expect(wrong).toEqual([]);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(heaps[0]!.usedBytes).toBe(before);
    },
  );

  it("reads what lies in shared memory where it is, and says when the sender may change it", async () => {
    const { heaps, ends } = pair();
    const { buffer, start } = heaps[0]!.allocateOwned(100_000)!;
    const payload = new Uint8Array(buffer, start, 100_000).fill(3);
    const used = heaps[0]!.usedBytes;
    let received = 0;
    ends[0].start({ onFrame: () => {}, onDamaged: () => {}, onClose: () => {} });
    const sent = new Promise<void>((resolve) => ends[0].send(new Uint8Array(40), payload, resolve));
    expect(heaps[0]!.usedBytes).toBe(used);
    ends[1].start({
      onFrame: (_header, { byteLength }) => {
        received = byteLength;
      },
      onDamaged: () => {},
      onClose: () => {},
    });
    await sent;
    expect(received).toBe(100_000);
  });

  it("tells of a goodbye, and of a thread that ended without one", async () => {
    for (const end of ["goodbye", "death"]) {
      const { memory, ends } = pair();
      const frames: number[] = [];
      const closed = new Promise<void>((resolve) => {
        ends[1].start({ onFrame: (header) => frames.push(header[0]!), onDamaged: () => {}, onClose: resolve });
      });
      ends[0].send(new Uint8Array([5]), null);
      if (end === "goodbye") ends[0].close();
      else threadEnded(memory, 0, isBellKey);
      await closed;
      expect(frames).toEqual([5]);
      for (const links of open) links.close();
    }
  });
});
