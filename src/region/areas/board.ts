/** Board of ranks that have areas: each rank's call stands in its own file, beside its areas. */

import { callAt } from "../../link/files/layout.ts";
import type { LaidOut, OpenAreas } from "../../link/files/links.ts";
import { CALL_FIELDS, isSkipped, readCall, sameCalls, writeCall, writeSkipped } from "../../wire/call-record.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Board } from "../steps.ts";
import type { AreasGate } from "./gate.ts";

/** One rank's view of all ranks' calls. */
export class AreasBoard implements Board {
  readonly #areas: OpenAreas;
  readonly #gate: AreasGate;
  readonly #rank: number;
  /** This rank's file, and its record in {@link #floats}. */
  readonly #own: LaidOut;
  readonly #ownBytes: Uint8Array;
  readonly #floats: Float64Array;
  readonly #bytes: readonly Uint8Array[];
  /** At which step each record was read. */
  readonly #readAt: number[];

  constructor(areas: OpenAreas, gate: AreasGate, rank: number) {
    this.#areas = areas;
    this.#gate = gate;
    this.#rank = rank;
    const recordBytes = CALL_FIELDS * Float64Array.BYTES_PER_ELEMENT;
    this.#floats = new Float64Array(areas.files.length * CALL_FIELDS);
    const { buffer } = this.#floats;
    this.#bytes = areas.files.map((_, r) => new Uint8Array(buffer, r * recordBytes, recordBytes));
    this.#own = areas.files[rank]!;
    this.#ownBytes = this.#bytes[rank]!;
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

  hasSkipped(rank: number): boolean {
    return isSkipped(this.#floats, this.#at(rank));
  }

  sameCalls(a: number, b: number): boolean {
    return sameCalls(this.#floats, this.#at(a), this.#at(b));
  }

  callOf(rank: number): Fingerprint {
    return readCall(this.#floats, this.#at(rank));
  }

  #show(): void {
    const { file, layout } = this.#own;
    file.write(this.#ownBytes, callAt(layout, this.#gate.steps + 1));
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
