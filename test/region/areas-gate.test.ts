import { afterEach, describe, expect, it } from "vitest";
import { memoryFiles } from "../../src/node/memory-files/memory-files.ts";
import type { MemoryFile } from "../../src/platform.ts";
import { AreasGate } from "../../src/region/areas/gate.ts";

const AT = 64;
const system = memoryFiles();
const files: MemoryFile[] = [];

afterEach(() => {
  for (const file of files.splice(0)) file.close();
});

interface Hooks {
  /** Before a rank reads another's flag. */
  beforeRead?: (reader: number, rank: number) => void;
  /** While a rank naps. */
  duringNap?: (rank: number) => void;
}

/** The gates of `size` ranks, which wake each other at once, and which rank woke which. */
function gatesOf(size: number, hooks: Hooks = {}): { gates: AreasGate[]; woken: [by: number, rank: number][] } {
  const own = Array.from({ length: size }, () => {
    const { path, file } = system.create();
    file.reserve(AT + 8);
    files.push(file, system.open(path));
    system.unlink(path);
    return { writer: file, reader: files.at(-1)! };
  });
  const woken: [number, number][] = [];
  const gates: AreasGate[] = own.map(
    (_, rank) =>
      new AreasGate({
        rank,
        flags: own.map(({ writer, reader }, other) => {
          const file: MemoryFile = {
            read: (target, position) => {
              hooks.beforeRead?.(rank, other);
              reader.read(target, position);
            },
            write: (bytes, position) => writer.write(bytes, position),
            reserve: () => {},
            close: () => {},
          };
          return { file, at: AT };
        }),
        spins: false,
        nap: () => hooks.duringNap?.(rank),
        wake: (other) => {
          woken.push([rank, other]);
          gates[other]!.woken();
        },
      }),
  );
  return { gates, woken };
}

describe("AreasGate", () => {
  it("lets everyone go on when the last has come, who wakes those that sleep", async () => {
    const { gates, woken } = gatesOf(3);
    expect(gates[0]!.arrive()).toBe(false);
    expect(gates[0]!.missing()).toEqual([1, 2]);
    const first = gates[0]!.passed();
    expect(gates[1]!.arrive()).toBe(false);
    const second = gates[1]!.passed();
    expect(woken).toEqual([]);
    expect(gates[2]!.arrive()).toBe(true);
    expect(woken).toEqual([
      [2, 0],
      [2, 1],
    ]);
    await Promise.all([first, second]);
    expect(gates.map((gate) => gate.missing())).toEqual([[], [], []]);
    expect(gates.map(({ steps }) => steps)).toEqual([1, 1, 1]);
  });

  it("sees while it naps that the others have come, and nobody is woken", () => {
    const { gates, woken } = gatesOf(2, { duringNap: () => gates[1]!.steps === 0 && gates[1]!.arrive() });
    expect(gates[0]!.arrive()).toBe(true);
    expect(gates[0]!.missing()).toEqual([]);
    expect(woken).toEqual([]);
  });

  it("does not sleep if the others come while it says that it will", async () => {
    let comes = false;
    const { gates, woken } = gatesOf(2, {
      beforeRead: (reader) => {
        if (reader !== 0 || !comes) return;
        comes = false;
        gates[1]!.arrive();
      },
    });
    expect(gates[0]!.arrive()).toBe(false);
    comes = true;
    await gates[0]!.passed();
    // It had said so, and is woken for nothing: the other cannot know.
    expect(woken).toEqual([[1, 0]]);
  });

  it("wakes one that was seen awake at this step, and has gone to sleep since", async () => {
    let goesOn: Promise<void> | null = null;
    let hasGoneOn = false;
    const { gates, woken } = gatesOf(2, {
      beforeRead: (reader) => {
        if (reader !== 1 || !goesOn || hasGoneOn) return;
        hasGoneOn = true;
        // Rank 0 is a step ahead before rank 1 sees that it has come to this one.
        expect(gates[0]!.missing()).toEqual([]);
        expect(gates[0]!.arrive()).toBe(false);
      },
    });
    expect(gates[0]!.arrive()).toBe(false);
    goesOn = gates[0]!.passed();
    expect(gates[1]!.arrive()).toBe(true);
    const asleep = gates[0]!.passed();
    expect(gates[1]!.arrive()).toBe(true);
    expect(woken.at(-1)).toEqual([1, 0]);
    await asleep;
  });
});
