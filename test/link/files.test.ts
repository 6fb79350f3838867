import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, existsSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ProtocolError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import {
  areaAt,
  callAt,
  checkLayout,
  controlAt,
  format,
  layoutOf,
  ringAt,
  stepsAt,
} from "../../src/link/files/layout.ts";
import { RingReader, RingWriter } from "../../src/link/files/ring-buffer.ts";
import type { Payload } from "../../src/link/link.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { MEMORY_FILE_DIRECTORY, memoryFiles } from "../../src/node/memory-files/memory-files.ts";
import type { MemoryFile } from "../../src/platform.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { freePort } from "../helpers/free-port.ts";
import { sharedFilesOf } from "../helpers/shared-files.ts";

const system = memoryFiles();
const files: MemoryFile[] = [];

afterEach(() => {
  for (const file of files.splice(0)) file.close();
});

const names = () => sharedFilesOf([process.pid]);

function newFile(byteLength = 0): { path: string; file: MemoryFile } {
  const { path, file } = system.create();
  files.push(file);
  file.reserve(byteLength);
  return { path, file };
}

/** Counts what goes through a file. */
function counted(file: MemoryFile): MemoryFile & { bytesRead: number; bytesWritten: number } {
  return {
    bytesRead: 0,
    bytesWritten: 0,
    read(target, position) {
      this.bytesRead += target.byteLength;
      file.read(target, position);
    },
    write(bytes, position) {
      this.bytesWritten += bytes.byteLength;
      file.write(bytes, position);
    },
    reserve: (byteLength) => file.reserve(byteLength),
    close: () => file.close(),
  };
}

describe("memoryFiles()", () => {
  it("makes files that only this user may open, and that others of this user find by name", () => {
    const { path, file } = newFile(8);
    file.write(Uint8Array.of(1, 2, 3), 4);
    const opened = system.open(path);
    files.push(opened);
    const bytes = new Uint8Array(3);
    opened.read(bytes, 4);
    expect([...bytes]).toEqual([1, 2, 3]);
    system.unlink(path);
    expect(existsSync(path)).toBe(false);
    opened.read(bytes, 4);
    expect([...bytes]).toEqual([1, 2, 3]);
    system.unlink(path);
  });

  it("opens for reading alone", () => {
    const { path } = newFile(8);
    const opened = system.open(path);
    files.push(opened);
    expect(() => opened.write(new Uint8Array(1), 0)).toThrow();
    system.unlink(path);
  });

  it("refuses a file that others may open, and one elsewhere", () => {
    const { path } = newFile(8);
    chmodSync(path, 0o640);
    expect(() => system.open(path)).toThrow(/may be opened by other users/);
    system.unlink(path);
    expect(() => system.open("/etc/hostname")).toThrow(/is not where shared files are/);
    expect(() => system.open(`${MEMORY_FILE_DIRECTORY}/webccl-x/../other`)).toThrow(/is not where/);
  });

  it("takes away the names of the dead at once, of the living never, and of the unknown after an hour", () => {
    const { path } = newFile(8);
    const [, pid, start, boot, namespace, thread] = basename(path).split("-");
    const [ended] = [spawnSync(process.execPath, ["-e", ""]).pid];
    const nameOf = (...parts: (string | number | undefined)[]) =>
      `webccl-${[...parts, thread, randomUUID()].join("-")}`;
    const dead = [
      nameOf(ended, start, boot, namespace),
      nameOf(ended, "", boot, namespace),
      nameOf(pid, Number(start) + 1, boot, namespace),
      nameOf(pid, start, "0123456789abcdef", namespace),
    ];
    const kept = [
      nameOf(pid, start, boot, namespace),
      nameOf(pid, "", boot, namespace),
      nameOf(ended, start, boot, "1"),
      nameOf(ended, start, "", ""),
      `webccl-${randomUUID()}`,
    ];
    const old = [nameOf(ended, start, boot, "1"), nameOf(ended, start, "", ""), `webccl-${randomUUID()}`];
    const pathOf = (name: string) => `${MEMORY_FILE_DIRECTORY}/${name}`;
    for (const name of [...dead, ...kept, ...old]) writeFileSync(pathOf(name), "");
    for (const name of old) utimesSync(pathOf(name), 0, 0);
    memoryFiles();
    expect([...dead, ...old].filter((name) => existsSync(pathOf(name)))).toEqual([]);
    expect(kept.filter((name) => !existsSync(pathOf(name)))).toEqual([]);
    for (const name of kept) system.unlink(pathOf(name));
    expect(existsSync(path)).toBe(true);
    system.unlink(path);
  });
});

describe("layoutOf()", () => {
  it("gives every rank a control block and a ring of its own, the same to whoever asks", () => {
    for (const count of [1, 3, 15, 63]) {
      const others = Array.from({ length: count }, (_, rank) => rank + 1);
      const layout = layoutOf(0, others, false);
      for (const place of others.keys()) {
        expect(controlAt(place) % 64).toBe(0);
        expect(ringAt(layout, place) % 4096).toBe(0);
        expect(controlAt(place + 1)).toBeLessThanOrEqual(ringAt(layout, 0));
      }
      expect(ringAt(layout, count) - ringAt(layout, 0)).toBe(count * layout.ringBytes);
      expect(count * layout.ringBytes).toBeLessThanOrEqual(16 * 2 ** 20);
    }
  });

  it("gives a job's ranks two areas of whole pages, behind the lines that tell of steps and calls", () => {
    for (const count of [1, 3, 15]) {
      const others = Array.from({ length: count }, (_, rank) => rank + 1);
      const layout = layoutOf(0, others, true);
      const flags = [stepsAt(layout), callAt(layout, 1), callAt(layout, 2)];
      expect(stepsAt(layout)).toBe(stepsAt(layoutOf(0, others, false)));
      expect(new Set(flags.map((at) => Math.floor(at / 128))).size).toBe(3);
      const [even, odd] = [areaAt(layout, 2), areaAt(layout, 1)];
      expect([even % 4096, odd % 4096, layout.areaBytes % 4096]).toEqual([0, 0, 0]);
      expect(Math.max(...flags) + 128).toBeLessThanOrEqual(even);
      expect(odd - even).toBe(layout.areaBytes);
      expect([callAt(layout, 3), areaAt(layout, 3)]).toEqual([callAt(layout, 1), odd]);
    }
  });

  it("is written to the file, where another layout is refused", () => {
    const { path, file } = newFile();
    system.unlink(path);
    format(file, layoutOf(3, [0, 1], false));
    checkLayout(file, layoutOf(3, [0, 1], false));
    for (const other of [layoutOf(2, [0, 1], false), layoutOf(3, [0, 1, 2], false), layoutOf(3, [0, 1], true)]) {
      expect(() => checkLayout(file, other)).toThrow(ProtocolError);
    }
  });
});

describe("RingWriter and RingReader", () => {
  const RING = 64 * 1024;

  function ring(ringBytes = RING) {
    const { path, file } = newFile(ringBytes);
    system.unlink(path);
    const count = counted(file);
    const place = { file: count, at: 0, ringBytes };
    return { count, writer: new RingWriter(place), reader: new RingReader(place) };
  }

  const header = (value: number, byteLength = 40) => new Uint8Array(byteLength).fill(value);
  const bytesOf = (payload: Payload) => {
    const bytes = new Uint8Array(payload.byteLength);
    payload.copyTo(bytes);
    return bytes;
  };

  it("brings records of every length in order, many rings' worth, some of them kept for later", () => {
    const { writer, reader } = ring();
    const source = new SeededRandom(11);
    const random = () => source.u32() / 2 ** 32;
    const lengths = Array.from({ length: 3000 }, () => {
      const kind = random();
      return Math.floor(random() * (kind < 0.5 ? 100 : kind < 0.9 ? 20_000 : 200_000));
    });
    let sent = 0;
    let settled = 0;
    let received = 0;
    const kept: { index: number; payload: Payload }[] = [];
    const check = (index: number, payload: Payload) => {
      const bytes = bytesOf(payload);
      expect(bytes.byteLength).toBe(lengths[index]);
      expect(bytes.every((byte) => byte === index % 251)).toBe(true);
    };
    while (received < lengths.length) {
      while (writer.idle && sent < lengths.length && random() < 0.7) {
        const length = lengths[sent]!;
        const payload = length > 0 ? new Uint8Array(length).fill(sent % 251) : null;
        writer.push(header(sent % 251, sent % 3 === 0 ? 80 : 40), payload, () => settled++);
        sent++;
        writer.write(reader.done);
      }
      writer.write(reader.done);
      const { written } = writer;
      while (
        reader.next(written, (head, payload) => {
          expect(head.byteLength).toBe(received % 3 === 0 ? 80 : 40);
          expect(head[0]).toBe(received % 251);
          if (random() < 0.3) kept.push({ index: received, payload: payload.keep() });
          else check(received, payload);
          received++;
        })
      );
      reader.makeRoom(written);
      expect(written - reader.done).toBeLessThanOrEqual(RING);
      while (kept.length > 0 && random() < 0.5) {
        const { index, payload } = kept.splice(Math.floor(random() * kept.length), 1)[0]!;
        check(index, payload);
      }
    }
    for (const { index, payload } of kept) check(index, payload);
    expect(settled).toBe(lengths.length);
  });

  it("writes and reads each byte of a long payload once", () => {
    const { count, writer, reader } = ring(2 ** 20);
    const payload = new Uint8Array(200_000).fill(7);
    for (let turn = 0; turn < 20; turn++) {
      writer.push(header(1), payload, undefined);
      writer.write(reader.done);
      reader.next(writer.written, (_, came) => {
        if (turn % 2 === 0) bytesOf(came);
        else {
          const later = came.keep();
          queueMicrotask(() => bytesOf(later));
        }
      });
    }
    expect(count.bytesWritten).toBeLessThan(20 * (payload.byteLength + 200));
    expect(count.bytesRead).toBeLessThan(20 * (payload.byteLength + 200));
  });

  it("hands nothing over that is not whole, and goes on when there is room", () => {
    const { writer, reader } = ring();
    let sent = 0;
    for (let i = 0; i < 3; i++) writer.push(header(i), new Uint8Array(30_000).fill(i), () => sent++);
    writer.write(0);
    expect(sent).toBe(2);
    const got: number[] = [];
    const take = () => reader.next(writer.written, (_, payload) => got.push(bytesOf(payload)[29_999]!));
    expect([take(), take(), take()]).toEqual([true, true, false]);
    expect(writer.write(reader.done)).toBe(true);
    expect([take(), take()]).toEqual([true, false]);
    expect({ got, sent }).toEqual({ got: [0, 1, 2], sent: 3 });
  });

  it("refuses a record whose header is longer than any frame's", () => {
    const { count, reader } = ring();
    count.write(new Uint8Array(Uint32Array.of(4096, 0).buffer), 0);
    expect(() => reader.next(64, () => {})).toThrow(ProtocolError);
  });

  it("allocates nothing on the word of a length", () => {
    const { count, reader } = ring();
    count.write(new Uint8Array(Uint32Array.of(40, 0xffff_ffff).buffer), 0);
    const before = process.memoryUsage().arrayBuffers;
    expect(reader.next(128, () => {})).toBe(false);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });
});

describe("groups over shared files", () => {
  let groups: ProcessGroup[] = [];
  afterEach(async () => {
    vi.unstubAllEnvs();
    await Promise.all(groups.splice(0).map((group) => group.destroy()));
  });

  async function join(transports: readonly ("auto" | "shared-file" | "websocket")[]): Promise<ProcessGroup[]> {
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    groups = await Promise.all(
      transports.map((transport, rank) =>
        initProcessGroup({
          initMethod,
          rank,
          worldSize: transports.length,
          transport,
          backend: "cpu",
          timeoutMs: 10_000,
        }),
      ),
    );
    return groups;
  }

  const links = (group: ProcessGroup) => group.info().ranks.map(({ link }) => link);

  it("are what auto makes of processes of one host without FFI, leave no name, and end", async () => {
    vi.stubEnv("WEBCCL_FFI", "none");
    const before = names();
    const [first, second] = await join(["auto", "auto"]);
    expect(links(first!)).toEqual(["self", "shared-file"]);
    expect(first!.info().sharedFile).toBe("with rank 1");
    expect(links(second!)).toEqual(["shared-file", "self"]);
    expect(names()).toEqual(before);
  });

  it("are not made where a rank wants another transport, and it says so", async () => {
    const joined = await join(["auto", "websocket", "auto"]);
    expect(joined.map(links)).toEqual([
      ["self", "websocket", "shared-file"],
      ["websocket", "self", "websocket"],
      ["shared-file", "websocket", "self"],
    ]);
    expect(joined[1]!.info().sharedFile).toBe('its transport is "websocket"');
    const tensors = joined.map((_, rank) => new Float32Array(100_000).fill(rank + 1));
    await Promise.all(joined.map((group, rank) => group.allReduce(tensors[rank]!)));
    for (const tensor of tensors) expect(tensor.every((value) => value === 6)).toBe(true);
  });

  it("have areas for the group of all ranks, and messages for those of some", async () => {
    const joined = await join(["shared-file", "shared-file", "shared-file"]);
    const some = await Promise.all(joined.map((group) => group.newGroup([0, 2])));
    const pair = some.filter((group) => group !== null);
    for (const [groups, sum] of [
      [joined, 6],
      [pair, 4],
    ] as const) {
      const tensors = groups.map((group) => new Float32Array(700_001).fill(group.globalRanks[group.rank]! + 1));
      await Promise.all(groups.map((group, i) => group.allReduce(tensors[i]!)));
      for (const tensor of tensors) expect(tensor.every((value) => value === sum)).toBe(true);
    }
    await Promise.all(joined.map((group) => group.allReduce(new Float32Array(1), { algorithm: "areas" })));
    await expect(pair[0]!.allReduce(new Float32Array(1), { algorithm: "areas" })).rejects.toThrow(RangeError);
  });

  it("run calls with areas and calls with messages at once, in the order in which they are made", async () => {
    const joined = await join(["shared-file", "shared-file"]);
    const results = await Promise.all(
      joined.map(async (group) => {
        const { rank } = group;
        const other = 1 - rank;
        const [sum, passed, copied] = [
          new Int32Array(600_000).fill(rank + 1),
          new Int32Array(40_000),
          new Int32Array(300_000).fill(7 + rank),
        ];
        const gathered = rank === 0 ? [new Int32Array(5), new Int32Array(5)] : null;
        await Promise.all([
          group.recv(passed, other),
          group.allReduce(sum),
          group.gather(gathered, new Int32Array(5).fill(rank)),
          group.send(new Int32Array(40_000).fill(rank), other),
          group.broadcast(copied, { root: 1 }),
          group.barrier(),
        ]);
        expect(gathered?.map((part) => part.join())).toEqual(rank === 0 ? ["0,0,0,0,0", "1,1,1,1,1"] : undefined);
        return [sum, passed, copied].map((array) => [...new Set(array)]);
      }),
    );
    expect(results).toEqual([
      [[3], [1], [8]],
      [[3], [0], [8]],
    ]);
  });

  it("that must be so reject with what is missing", async () => {
    const before = names();
    const initMethod = `file://${tmpdir()}/webccl-shared-file-${process.pid}`;
    const options = { initMethod, worldSize: 2, timeoutMs: 10_000, backend: "cpu" } as const;
    const other = initProcessGroup({ ...options, rank: 1, transport: "websocket", timeoutMs: 1_000 }).catch(String);
    await expect(initProcessGroup({ ...options, rank: 0, transport: "shared-file" })).rejects.toThrow(
      /transport "shared-file": rank 0 and rank 1 share no files: rank 1 does not: its transport is "websocket"/,
    );
    await other;
    expect(names()).toEqual(before);
  });
});
