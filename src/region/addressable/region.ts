/** A group's {@link AddressableMemory}: its board, and the executor that works in the same memory. */
import { ProtocolError } from "../../errors.ts";
import type { AddressableExecutor, Span } from "../../executor/executor.ts";
import { after, type Late } from "../../support/late.ts";
import type { Pace } from "../../support/pace.ts";
import { bytesPerElement, type DataType } from "../../types.ts";
import type { AddressableMemory } from "../region.ts";
import { Steps } from "../steps.ts";
import { AddressableBoard, SLOT_BYTES } from "./board.ts";
import { AddressableGate } from "./gate.ts";
import type { Sleep } from "./sleep.ts";

/** The parts and settings of an addressable region. */
export interface AddressableRegionOptions {
  /** The group's board, at `address` of the memory in `buffer`. */
  buffer: ArrayBufferLike;
  address: number;
  rank: number;
  size: number;
  executor: AddressableExecutor;
  /** Which part of the executor's memory the ranks have in common. Each rank may have it at another address. */
  common: { readonly start: number; readonly end: number };
  sleep: Sleep;
  /** How many ranks can run at once. */
  cores: number;
  pace: Pace;
}

/** See the file's head. */
export class AddressableRegion implements AddressableMemory {
  readonly kind = "addressable";
  readonly slotBytes = SLOT_BYTES;
  readonly executor: AddressableExecutor;
  readonly steps: Steps;
  readonly #board: AddressableBoard;
  readonly #gate: AddressableGate;
  readonly #size: number;
  readonly #start: number;
  readonly #end: number;
  /** What {@link slots} gave last, on either side. */
  readonly #slots: [readonly Span[], readonly Span[]] = [[], []];
  /** What {@link offered} gave last, by rank and index. */
  readonly #offered: Span[];

  constructor({ buffer, address, rank, size, executor, common, sleep, cores, pace }: AddressableRegionOptions) {
    this.#board = new AddressableBoard(buffer, address, rank, size);
    this.#gate = new AddressableGate(this.#board.gate, { rank, size, cores, sleep });
    this.steps = new Steps({ rank, size, gate: this.#gate, board: this.#board, pace });
    this.executor = executor;
    this.#size = size;
    this.#start = common.start;
    this.#end = common.end;
    this.#offered = new Array<Span>(size * size);
  }

  slots(dtype: DataType, count: number): readonly Span[] {
    const board = this.#board;
    const kept = this.#slots[board.side];
    if (kept[0]?.dtype === dtype && kept[0].count === count) return kept;
    const slots = Array.from({ length: this.#size }, (_, rank) => this.executor.spanAt(board.slot(rank), dtype, count));
    this.#slots[board.side] = slots;
    return slots;
  }

  holds(span: Span): boolean {
    const address = this.executor.addressOf(span);
    return address >= this.#start && address + span.byteLength <= this.#end;
  }

  offer(index: number, span: Span): void {
    const position = this.holds(span) ? this.executor.addressOf(span) - this.#start : -1;
    this.#board.offer(index, position, span.byteLength);
  }

  offered(rank: number, index: number, dtype: DataType, count: number): Span | null {
    const position = this.#board.offered(rank, index);
    if (position < 0) return null;
    const address = this.#start + position;
    const at = rank * this.#size + index;
    const kept = this.#offered[at];
    if (kept?.dtype === dtype && kept.count === count && this.executor.addressOf(kept) === address) return kept;
    if (address + count * bytesPerElement(dtype) > this.#end) {
      throw new ProtocolError(
        `rank ${rank} shows a tensor that does not lie in the memory that the ranks have in common`,
      );
    }
    const span = this.executor.spanAt(address, dtype, count);
    this.#offered[at] = span;
    return span;
  }

  step(): Late {
    return this.steps.step();
  }

  stepThrough(once: () => void): Late {
    const all = this.#gate.arrive(() => {
      if (this.steps.isSameCall()) once();
    });
    return after(this.steps.arrived(all), () => (this.#gate.hasFailed ? this.steps.failed() : undefined));
  }

  breathe(): Late {
    return this.steps.breathe();
  }
}
