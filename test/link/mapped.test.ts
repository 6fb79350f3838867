/** Memory that processes of one host map: the memory itself, how it is laid out, what a hostile rank can do there, and groups over it. More than 400 lines: one room from its pages to its groups. */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { ProtocolError } from "../../src/errors.ts";
import { createAddressableCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { WasmMemory } from "../../src/executor/cpu/wasm-memory.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { layoutOf } from "../../src/link/files/layout.ts";
import { MappedFile } from "../../src/link/mapped/mapped-file.ts";
import { blockAt, boardOf, partAt, windowLayout } from "../../src/link/mapped/window.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { openNodeFfi } from "../../src/node/mapped-memory/ffi.ts";
import { mappedMemory } from "../../src/node/mapped-memory/mapped-memory.ts";
import type { CommonMemory } from "../../src/platform.ts";
import { AddressableBoard, boardBytes } from "../../src/region/addressable/board.ts";
import { gateBytes } from "../../src/region/addressable/gate-words.ts";
import { AddressableRegion } from "../../src/region/addressable/region.ts";
import { ThreadSleep } from "../../src/region/addressable/sleep.ts";
import { Pace } from "../../src/support/pace.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { withGroup } from "../conformance/harness.ts";
import { freePort } from "../helpers/free-port.ts";

const PAGE = 65_536;
const ffi = await openNodeFfi(undefined);
const system = mappedMemory(ffi);

const open: CommonMemory[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const memory of open.splice(0)) memory.close();
});

function create(byteLength: number) {
  const made = system.create(byteLength);
  open.push(made.memory);
  return made;
}

/** Descriptors of this process that are memory without a name. */
function descriptors(): string[] {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("/memfd:webccl");
    } catch {
      return false; // That of the listing itself.
    }
  });
}

/** Bytes of this process's address space where such memory is mapped. */
function mappedBytes(): number {
  const lines = readFileSync("/proc/self/maps", "utf8").split("\n");
  return lines
    .filter((line) => line.includes("/memfd:webccl"))
    .map((line) =>
      line
        .split(" ")[0]!
        .split("-")
        .map((end) => Number.parseInt(end, 16)),
    )
    .reduce((sum, [start, end]) => sum + end! - start!, 0);
}

/** Groups that were destroyed give their memory back when their links have closed. */
const noDescriptors = () => vi.waitFor(() => expect(descriptors()).toEqual([]), { timeout: 5_000 });

const newMemory = () => new WebAssembly.Memory({ initial: 16, maximum: 64, shared: true });

describe("openNodeFfi()", () => {
  it("says what is missing", async () => {
    await expect(openNodeFfi("none")).rejects.toThrow(/no FFI: npm install koffi, or Node 26 .*WEBCCL_FFI is "none"/);
  });
});

describe("common memory", () => {
  it("is the same in every WebAssembly memory that it is mapped into, and zeros where it is unmapped", () => {
    const { path, mark, memory: one } = create(4 * PAGE);
    const other = system.open(path, mark, 4 * PAGE);
    open.push(other);
    one.reserve(0, 4 * PAGE);
    const [left, right] = [newMemory(), newMemory()];
    one.map(left, 2 * PAGE);
    other.map(right, 5 * PAGE);
    const here = new Uint8Array(left.buffer, 2 * PAGE, 4 * PAGE);
    const there = new Uint8Array(right.buffer, 5 * PAGE, 4 * PAGE);
    for (const at of [0x100, PAGE, 4 * PAGE - 1]) {
      here[at] = 7;
      expect(there[at]).toBe(7);
    }
    left.grow(3);
    expect(new Uint8Array(left.buffer, 2 * PAGE, 4 * PAGE)[PAGE]).toBe(7);
    other.unmap(PAGE, PAGE);
    expect([there[0x100], there[PAGE], there[4 * PAGE - 1]]).toEqual([7, 0, 7]);
    expect(here[PAGE]).toBe(7);
    for (const memory of [one, other]) memory.unmap(0, 4 * PAGE);
    expect(here.every((byte) => byte === 0)).toBe(true);
  });

  it("sleeps while a word is as it was seen, no longer than it is told", () => {
    const { memory } = create(PAGE);
    const wasm = newMemory();
    memory.map(wasm, PAGE);
    const took = (seen: number) => {
      const start = performance.now();
      memory.wait(64, seen, 20);
      return performance.now() - start;
    };
    expect(took(0)).toBeGreaterThanOrEqual(19);
    expect(took(-1)).toBeLessThan(15);
    memory.wake(64);
  });

  it("is refused by whoever finds another one than he was told of", () => {
    const { path, mark } = create(2 * PAGE);
    expect(() =>
      system.open(
        path,
        mark.replace(/^./, (one) => (one === "0" ? "1" : "0")),
        2 * PAGE,
      ),
    ).toThrow(/another memory than its maker told of/);
    expect(() => system.open(path, mark, 4 * PAGE)).toThrow(`it has ${2 * PAGE} bytes, not ${4 * PAGE}`);
    for (const elsewhere of ["/dev/shm/x", `${path}/../0`, "/proc/self/fd/0", ""]) {
      expect(() => system.open(elsewhere, mark, 2 * PAGE)).toThrow(/is not where common memory is/);
    }
    expect(() => system.open(path.replace(/\d+$/, "99999"), mark, 2 * PAGE)).toThrow(/open.* failed/);
  });

  it("is refused where its length could change", () => {
    const name = `/dev/shm/webccl-test-unsealed-${process.pid}`;
    writeFileSync(name, new Uint8Array(PAGE));
    const fd = openSync(name, "r+");
    try {
      expect(() => system.open(`/proc/${process.pid}/fd/${fd}`, "", PAGE)).toThrow(/it is not sealed: its length/);
    } finally {
      closeSync(fd);
      unlinkSync(name);
    }
  });

  it("is neither reserved nor mapped beyond its ends", () => {
    const { memory } = create(2 * PAGE);
    const wasm = new WebAssembly.Memory({ initial: 3, maximum: 3, shared: true });
    const beyond = fc.tuple(fc.integer({ min: -PAGE, max: 3 * PAGE }), fc.integer({ min: -1, max: 3 * PAGE }));
    fc.assert(
      fc.property(beyond, ([at, byteLength]) => {
        if (at >= 0 && byteLength >= 0 && at + byteLength <= 2 * PAGE) return;
        expect(() => memory.reserve(at, byteLength)).toThrow(RangeError);
        expect(() => memory.unmap(at, byteLength)).toThrow(RangeError);
      }),
    );
    for (const address of [-PAGE, 2 * PAGE, 3 * PAGE]) expect(() => memory.map(wasm, address)).toThrow(RangeError);
    memory.close();
    expect(() => memory.reserve(0, PAGE)).toThrow(/is closed/);
  });
});

describe("windowLayout()", () => {
  const sizes = fc.record({ ranks: fc.integer({ min: 2, max: 200 }), pages: fc.integer({ min: 16, max: 49_152 }) });
  const layoutFor = (ranks: number, byteLength: number) => {
    const others = Array.from({ length: ranks - 1 }, (_, i) => i + 1);
    return windowLayout(ranks, byteLength, layoutOf(0, others, false), boardBytes(ranks));
  };

  it("gives each rank a block and a part of its own inside the window, or says that there is no room", () => {
    fc.assert(
      fc.property(sizes, ({ ranks, pages }) => {
        const byteLength = pages * PAGE;
        let layout: ReturnType<typeof layoutFor>;
        try {
          layout = layoutFor(ranks, byteLength);
        } catch (error) {
          expect((error as Error).message).toMatch(/ranks do not fit into/);
          return;
        }
        const spans = [[8192, layout.boards * layout.boardBytes]];
        for (let i = 0; i < ranks; i++) spans.push([blockAt(layout, i), layout.blockBytes]);
        for (let i = 0; i < ranks; i++) spans.push([partAt(layout, i), layout.partBytes]);
        for (const [i, [at, length]] of spans.entries()) {
          expect(at! % 4096).toBe(0);
          expect(at! + length!).toBeLessThanOrEqual(spans[i + 1]?.[0] ?? byteLength);
        }
        expect(layout.boards).toBeGreaterThan(0);
        expect(partAt(layout, 0) % PAGE).toBe(0);
      }),
    );
  });

  it("gives each group one board, whichever rank asks when, until all are taken for good", () => {
    const layout = layoutFor(100, 49_152 * PAGE);
    const asked = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 20 });
    fc.assert(
      fc.property(asked, (groups) => {
        const buffer = new SharedArrayBuffer(PAGE);
        const given = new Map<number, number>();
        for (const group of groups) {
          const board = boardOf(buffer, 0, layout, group * 2 ** 49 + 1);
          expect(given.get(group) ?? board).toBe(board);
          given.set(group, board);
        }
        const boards = [...given.values()].filter((board) => board >= 0);
        expect(new Set(boards).size).toBe(boards.length);
        expect(boards.length).toBe(Math.min(layout.boards, given.size));
      }),
    );
    expect(layout.boards).toBeLessThan(6);
  });
});

describe("WasmMemory.openWindow()", () => {
  /** A window of 8 pages, of which this rank has pages 2 to 5, with room for `room` bytes at most. */
  function windowed(room = 4 * PAGE) {
    const heap = new WasmMemory();
    const start = heap.addRoom(8 * PAGE);
    const [ownStart, ownEnd] = [start + 2 * PAGE, start + 6 * PAGE];
    const said: string[] = [];
    let reserved = ownStart;
    heap.openWindow({
      ...{ ownStart, ownEnd },
      reserve: (at, byteLength) => {
        expect(at).toBe(reserved);
        if (at + byteLength - ownStart > room) throw new Error("no memory");
        reserved += byteLength;
      },
      onClosed: () => said.push("closed"),
      onUnused: () => said.push("unused"),
    });
    return { heap, start, ownStart, ownEnd, said, reservedEnd: () => reserved };
  }

  it("gives blocks that are apart, in the reserved part of the window or outside of it", () => {
    const sizes = fc.array(fc.record({ byteLength: fc.integer({ min: 1, max: 3 * PAGE }), frees: fc.boolean() }));
    fc.assert(
      fc.property(sizes, fc.integer({ min: 0, max: 4 * PAGE }), (calls, room) => {
        const { heap, start, ownStart, reservedEnd } = windowed(room);
        const live: [number, number][] = [];
        for (const { byteLength, frees } of calls) {
          const at = heap.allocate(byteLength);
          expect(at).toBeGreaterThan(0);
          if (at >= start && at < start + 8 * PAGE) {
            expect(at).toBeGreaterThanOrEqual(ownStart);
            expect(at + byteLength).toBeLessThanOrEqual(reservedEnd());
          }
          for (const [from, length] of live) expect(at + byteLength <= from || from + length <= at).toBe(true);
          live.push([at, byteLength]);
          if (frees) heap.release(...live.shift()!);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("is over when it was closed and its last block has come back", () => {
    const { heap, said, ownStart, ownEnd } = windowed();
    const blocks = [heap.allocate(100), heap.allocate(PAGE)];
    for (const at of blocks) expect(at >= ownStart && at < ownEnd).toBe(true);
    heap.release(blocks[0]!, 100);
    heap.closeWindow();
    expect(said).toEqual(["closed"]);
    expect(heap.allocate(100) < ownStart || heap.allocate(100) >= ownEnd).toBe(true);
    heap.release(blocks[1]!, PAGE);
    expect(said).toEqual(["closed", "unused"]);
  });
});

describe("MappedFile", () => {
  it("reads and writes in its own bytes alone", () => {
    const { memory } = create(PAGE);
    const window = new Uint8Array(new SharedArrayBuffer(PAGE));
    const closed: string[] = [];
    const parts = { window, common: memory, at: 4096, byteLength: 8192, onClose: () => closed.push("closed") };
    const file = new MappedFile(parts);
    fc.assert(
      fc.property(fc.integer({ min: -9000, max: 9000 }), fc.integer({ min: 0, max: 9000 }), (at, byteLength) => {
        window.fill(0);
        const bytes = new Uint8Array(byteLength).fill(1);
        const back = new Uint8Array(byteLength);
        if (at < 0 || at + byteLength > 8192) {
          expect(() => file.write(bytes, at)).toThrow(RangeError);
          expect(() => file.read(back, at)).toThrow(RangeError);
          expect(window.includes(1)).toBe(false);
          return;
        }
        file.write(bytes, at);
        file.read(back, at);
        expect(back.every((byte) => byte === 1)).toBe(true);
        expect(window.reduce((sum, byte) => sum + byte, 0)).toBe(byteLength);
      }),
    );
    file.close();
    file.close();
    expect(closed).toEqual(["closed"]);
  });
});

describe("a tensor that another rank shows", () => {
  it("is refused unless all of it lies in the common memory", async () => {
    const { executor, heap } = (await createAddressableCpuExecutor())!;
    const address = heap.allocate(boardBytes(2));
    const buffer = heap.bufferTo(address + boardBytes(2));
    new Uint8Array(buffer, address, boardBytes(2)).fill(0);
    const common = { start: address, end: address + boardBytes(2) };
    const sleep = new ThreadSleep(new Int32Array(buffer, address, gateBytes(2) / 4));
    const pace = new Pace(async () => {});
    const region = new AddressableRegion({
      buffer,
      address,
      rank: 0,
      size: 2,
      executor,
      common,
      sleep,
      cores: 1,
      pace,
    });
    const hostile = new AddressableBoard(buffer, address, 1, 2);
    const shown = fc.record({
      position: fc.oneof(fc.integer({ min: 0, max: 0xffff_fffe }), fc.nat({ max: boardBytes(2) })),
      byteLength: fc.integer({ min: 0, max: 0xffff_ffff }),
      count: fc.nat({ max: 10_000 }),
    });
    fc.assert(
      fc.property(shown, ({ position, byteLength, count }) => {
        hostile.offer(0, position, byteLength);
        const look = () => region.offered(1, 0, "f32", count);
        if (position + 4 * count > boardBytes(2)) expect(look).toThrow(ProtocolError);
        else expect(executor.addressOf(look()!)).toBe(address + position);
      }),
    );
    hostile.offer(0, -1, 0);
    expect(region.offered(1, 0, "f32", 1)).toBe(null);
  });
});

describe("groups over mapped memory", () => {
  const links = (group: ProcessGroup) => group.info().ranks.map(({ link }) => link);
  async function joined<T>(
    transports: readonly ("auto" | "mapped-memory" | "websocket")[],
    task: (groups: ProcessGroup[]) => Promise<T>,
  ): Promise<T> {
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const options = { initMethod, worldSize: transports.length, backend: "cpu", timeoutMs: 10_000 } as const;
    const groups = await Promise.all(
      transports.map((transport, rank) => initProcessGroup({ ...options, rank, transport })),
    );
    try {
      return await task(groups);
    } finally {
      await Promise.all(groups.map((group) => group.destroy()));
    }
  }

  it("are what auto makes of processes of one host, and say so", async () => {
    await joined(["auto", "auto"], async ([first, second]) => {
      expect(links(first!)).toEqual(["self", "mapped-memory"]);
      expect(links(second!)).toEqual(["mapped-memory", "self"]);
      expect(first!.info().mappedMemory).toBe(`with rank 1, through ${ffi.name}`);
    });
  });

  it("are not made where one rank of the host maps none: all of them share files, and say why", async () => {
    await joined(["auto", "websocket", "auto"], async (groups) => {
      expect(links(groups[0]!)).toEqual(["self", "websocket", "shared-file"]);
      expect(groups.map((group) => group.info().mappedMemory)).toEqual([
        'rank 1 does not: its transport is "websocket"',
        'its transport is "websocket"',
        'rank 1 does not: its transport is "websocket"',
      ]);
    });
  });

  it("that must be so reject with what is missing", async () => {
    vi.stubEnv("WEBCCL_FFI", "none");
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const options = { initMethod, worldSize: 2, transport: "mapped-memory", timeoutMs: 10_000 } as const;
    const ends = await Promise.allSettled([0, 1].map((rank) => initProcessGroup({ ...options, rank })));
    const reasons = ends.map((end) => (end.status === "rejected" ? String(end.reason) : ""));
    expect(reasons.every((reason) => reason !== "")).toBe(true);
    expect(reasons.join("\n")).toMatch(
      /transport "mapped-memory": rank [01] and rank [01] map no memory: no FFI: .*WEBCCL_FFI is "none"/,
    );
  });

  it("run the algorithms of threads in every group, and messages in those for which there is no board", async () => {
    await withGroup("mapped-memory", 3, async (group, rank) => {
      for (let i = 0; i < 70; i++) {
        const pair = await group.newGroup([0, 2]);
        const tensor = new Int32Array(1000).fill(rank + 1);
        await pair?.allReduce(tensor, i < 60 ? { algorithm: "one-pass" } : {});
        if (pair) expect(tensor.every((value) => value === 4)).toBe(true);
        await pair?.destroy();
      }
      await group.allReduce(new Float32Array(1), { algorithm: "slots" });
    });
  });

  it("give all memory back, but for the part that has tensors", async () => {
    await noDescriptors();
    const before = mappedBytes();
    const kept: Float32Array[] = [];
    await withGroup("mapped-memory", 2, async (group, rank) => {
      const tensor = group.alloc("f32", 1000).fill(rank + 1);
      await group.allReduce(tensor);
      if (rank === 1) kept.push(tensor);
      expect(mappedBytes() - before).toBe(6 * 2 ** 30);
    });
    await noDescriptors();
    // Each rank's own part is half a window, and goes when its tensors have been collected.
    expect(mappedBytes() - before).toBeLessThan(3 * 2 ** 30);
    expect(kept[0]!.every((value) => value === 3)).toBe(true);
    kept[0]!.fill(5);
    expect(kept[0]!.every((value) => value === 5)).toBe(true);
  });

  it("take tensors that lie elsewhere, in parts, or all through", async () => {
    await withGroup("mapped-memory", 2, async (group, rank) => {
      for (const count of [5, 300_000, 1_500_000]) {
        for (const isAlloc of [true, false, rank === 0]) {
          const tensor = isAlloc ? group.alloc("f32", count) : new Float32Array(count);
          tensor.fill(rank + 1);
          await group.allReduce(tensor);
          await group.broadcast(tensor, { root: 1 });
          expect(tensor.every((value) => value === 3)).toBe(true);
        }
      }
    });
  });
});

describe("a rank that writes anything anywhere in the common memory", () => {
  let failures = 0;
  afterAll(() => expect(failures).toBeGreaterThan(0));

  it.each([1, 2, 3, 4, 5, 6])("ends no process, and every call settles: seed %i", { timeout: 30_000 }, async (seed) => {
    const random = new SeededRandom(seed, "hostile rank");
    await noDescriptors();
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const logger = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };
    const options = { initMethod, worldSize: 2, transport: "mapped-memory", timeoutMs: 400, logger } as const;
    const groups = await Promise.all(
      [0, 1].map((rank) => initProcessGroup({ ...options, rank, timeoutMs: 10_000, backend: "cpu" })),
    );
    const fd = openSync(`/proc/self/fd/${descriptors()[0]}`, "r+");
    const layout = windowLayout(2, 3 * 2 ** 30, layoutOf(0, [1], false), boardBytes(2));
    const blocks = [0, 1].map((index) => blockAt(layout, index));
    // The gate, the records of calls, what lies behind them, each rank's flags, and its ring.
    const targets = [
      ...[
        [8192, gateBytes(2)],
        [8192 + gateBytes(2), 256],
        [4096, layout.blocksAt - 4096],
      ],
      ...blocks.map((at) => [at + 4096, 256]),
      ...blocks.map((at) => [at + 8192, 4096]),
    ] as const;
    const vandalise = () => {
      for (let i = 0; i < 6; i++) {
        const [at, length] = targets[random.u32() % targets.length]!;
        const bytes = Uint8Array.from({ length: 1 + (random.u32() % 64) }, () => random.u32() % 256);
        writeSync(fd, bytes, 0, bytes.length, at! + (random.u32() % length!));
      }
    };
    const outcomes: unknown[] = [];
    for (let round = 0; round < 6; round++) {
      const calls = groups.flatMap((group, rank) => [
        group.allReduce(new Float32Array(70_000), { timeoutMs: 400 }),
        group.broadcast(new Int32Array(9), { timeoutMs: 400 }),
        rank === 0
          ? group.send(new Uint8Array(100_000), 1, { timeoutMs: 400 })
          : group.recv(new Uint8Array(100_000), 0, { timeoutMs: 400 }),
      ]);
      vandalise();
      for (const end of await Promise.allSettled(calls)) if (end.status === "rejected") outcomes.push(end.reason);
      vandalise();
    }
    closeSync(fd);
    for (const error of outcomes) expect(error).toBeInstanceOf(Error);
    failures += outcomes.length;
    await Promise.all(groups.map((group) => group.destroy()));
  });
});
