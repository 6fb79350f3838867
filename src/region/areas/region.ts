/** A group's {@link Areas}, in the files of its ranks. */
import type { HostExecutor } from "../../executor/executor.ts";
import { areaAt, stepsAt } from "../../link/files/layout.ts";
import type { LaidOut, OpenAreas } from "../../link/files/links.ts";
import type { Late } from "../../support/late.ts";
import type { Pace } from "../../support/pace.ts";
import type { Traffic } from "../../support/traffic.ts";
import type { Areas } from "../region.ts";
import { Steps } from "../steps.ts";
import { AreasBoard } from "./board.ts";
import { AreasGate } from "./gate.ts";

/** The parts and settings of a region of areas. */
export interface AreasRegionOptions {
  areas: OpenAreas;
  rank: number;
  /** The group's number on the wire: a wake-up names it. */
  group: number;
  executor: HostExecutor;
  pace: Pace;
  traffic: Traffic;
}

/** See the file's head. */
export class AreasRegion implements Areas {
  readonly kind = "areas";
  readonly areaBytes: number;
  readonly executor: HostExecutor;
  readonly steps: Steps;
  readonly #files: readonly LaidOut[];
  readonly #own: LaidOut;
  readonly #gate: AreasGate;
  readonly #traffic: Traffic;

  constructor({ areas, rank, group, executor, pace, traffic }: AreasRegionOptions) {
    const { files, isCrowded, waits, wake } = areas;
    this.#files = files;
    this.#own = files[rank]!;
    this.#gate = new AreasGate({
      rank,
      flags: files.map(({ file, layout }) => ({ file, at: stepsAt(layout) })),
      spins: !isCrowded,
      nap: (ms) => waits.nap(ms),
      wake: (other) => wake(other, group),
    });
    const board = new AreasBoard(areas, this.#gate, rank);
    this.steps = new Steps({ rank, size: files.length, gate: this.#gate, board, pace });
    this.areaBytes = this.#own.layout.areaBytes;
    this.executor = executor;
    this.#traffic = traffic;
  }

  put(bytes: Uint8Array, position: number): void {
    const { file, layout } = this.#own;
    file.write(bytes, areaAt(layout, this.#gate.steps + 1) + position);
  }

  get(target: Uint8Array, rank: number, position: number): void {
    const { file, layout } = this.#files[rank]!;
    file.read(target, areaAt(layout, this.#gate.steps) + position);
    this.#traffic.received(rank, target.byteLength);
  }

  step(): Late {
    return this.steps.step();
  }

  breathe(): Late {
    return this.steps.breathe();
  }

  /** A rank has found that all have come to a step. */
  woken(): void {
    this.#gate.woken();
  }
}
