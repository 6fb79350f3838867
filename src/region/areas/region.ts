/** A group's {@link Areas}, made of the files of its ranks. */
import type { AreaAlgorithms, Context } from "../../algorithm/context.ts";
import { type CallBoard, Region } from "../../backend/direct/turns.ts";
import type { HostExecutor } from "../../executor/executor.ts";
import { areaAt, callAt, stepsAt } from "../../link/files/layout.ts";
import type { OpenAreas } from "../../link/files/links.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import { CALL_FIELDS, isSkipped, readCall, sameCalls, writeCall, writeSkipped } from "../../wire/call-record.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Areas } from "../shared-areas.ts";
import { AreasGate } from "./gate.ts";

/** What an area region is made with. */
export interface AreaRegionOptions {
  areas: OpenAreas;
  gate: AreasGate;
  rank: number;
  executor: HostExecutor;
  algorithms: AreaAlgorithms;
}

/** See the file's head. */
export class AreaRegion extends Region implements Areas {
  readonly kind = "areas";
  readonly areaBytes: number;
  readonly executor: HostExecutor;
  readonly context: Pick<Context, "shared" | "areas">;
  readonly #areas: OpenAreas;
  readonly #gate: AreasGate;
  readonly #calls: AreaCalls;
  readonly #rank: number;

  constructor({ areas, gate, rank, executor, algorithms }: AreaRegionOptions) {
    const turn = () => new Promise<void>((resolve) => areas.system.later(resolve));
    const calls = new AreaCalls(areas, gate, rank);
    super({ size: calls.size, gate, calls, turn });
    this.areaBytes = areas.files[rank]!.layout.areaBytes;
    this.executor = executor;
    this.context = { shared: null, areas: { region: this, executor, algorithms } };
    this.#areas = areas;
    this.#gate = gate;
    this.#calls = calls;
    this.#rank = rank;
  }

  /** Compares this rank's call with those of the ranks that have come: of any two that differ, one notices. */
  protected override whenAwaited(exchange: ChannelExchange): void {
    const missing = this.#gate.missing();
    for (let rank = 0; rank < this.#calls.size; rank++) {
      if (missing.includes(rank) || this.#calls.sameCalls(rank, this.#rank)) continue;
      exchange.hear(rank, this.#calls.callOf(rank));
      return;
    }
  }

  put(bytes: Uint8Array, position: number): void {
    const { file, layout } = this.#areas.files[this.#rank]!;
    file.write(bytes, areaAt(layout, this.#gate.steps + 1) + position);
  }

  get(target: Uint8Array, rank: number, position: number): void {
    const { file, layout } = this.#areas.files[rank]!;
    file.read(target, areaAt(layout, this.#gate.steps) + position);
  }
}

/** The gate of the ranks whose files these are. */
export function gateOf({ files, isCrowded, system, wake }: OpenAreas, rank: number, group: number): AreasGate {
  return new AreasGate({
    rank,
    flags: files.map(({ file, layout }) => ({ file, at: stepsAt(layout) })),
    spins: !isCrowded,
    nap: (ms) => system.nap(ms),
    wake: (other) => wake(other, group),
  });
}

class AreaCalls implements CallBoard {
  readonly size: number;
  readonly #areas: OpenAreas;
  readonly #gate: AreasGate;
  readonly #rank: number;
  readonly #floats: Float64Array;
  readonly #bytes: readonly Uint8Array[];
  /** At which step each record was read. */
  readonly #readAt: number[];

  constructor(areas: OpenAreas, gate: AreasGate, rank: number) {
    this.size = areas.files.length;
    this.#areas = areas;
    this.#gate = gate;
    this.#rank = rank;
    const recordBytes = CALL_FIELDS * Float64Array.BYTES_PER_ELEMENT;
    this.#floats = new Float64Array(this.size * CALL_FIELDS);
    const { buffer } = this.#floats;
    this.#bytes = areas.files.map((_, r) => new Uint8Array(buffer, r * recordBytes, recordBytes));
    this.#readAt = areas.files.map((_, r) => (r === rank ? Number.POSITIVE_INFINITY : 0));
  }

  begin(call: Fingerprint): void {
    writeCall(this.#floats, this.#rank * CALL_FIELDS, call);
    this.#show();
  }

  skip(): void {
    writeSkipped(this.#floats, this.#rank * CALL_FIELDS);
    this.#show();
  }

  isSkipped(): boolean {
    for (let rank = 0; rank < this.size; rank++) if (isSkipped(this.#floats, this.#at(rank))) return true;
    return false;
  }

  sameCalls(a: number, b: number): boolean {
    return sameCalls(this.#floats, this.#at(a), this.#at(b));
  }

  callOf(rank: number): Fingerprint {
    return readCall(this.#floats, this.#at(rank));
  }

  #show(): void {
    const { file, layout } = this.#areas.files[this.#rank]!;
    file.write(this.#bytes[this.#rank]!, callAt(layout, this.#gate.steps + 1));
  }

  /** Where the record of `rank` is, which is read once a step. */
  #at(rank: number): number {
    const { steps } = this.#gate;
    if (this.#readAt[rank]! < steps) {
      this.#readAt[rank] = steps;
      const { file, layout } = this.#areas.files[rank]!;
      file.read(this.#bytes[rank]!, callAt(layout, steps));
    }
    return rank * CALL_FIELDS;
  }
}
