/** A group's {@link AddressableMemory}, made of its page and of the executor that works in the same memory. */
import type { Context, SharedAlgorithms } from "../../algorithm/context.ts";
import { Region } from "../../backend/direct/turns.ts";
import type { AddressableExecutor, Span } from "../../executor/executor.ts";
import type { DataType } from "../../types.ts";
import type { AddressableMemory } from "../shared-region.ts";
import { AddressableBoard, SLOT_BYTES } from "./board.ts";
import { AddressableGate } from "./gate.ts";

/** What a thread region is made with. */
export interface ThreadRegionOptions {
  /** The group's page, at `address` of the memory in `buffer`. */
  buffer: ArrayBufferLike;
  address: number;
  rank: number;
  size: number;
  executor: AddressableExecutor;
  algorithms: SharedAlgorithms;
  /** How many threads can run at once. */
  cores: number;
  /** Resolves when the event loop has turned. */
  turn(): Promise<void>;
}

/** See the file's head. */
export class ThreadRegion extends Region implements AddressableMemory {
  readonly slotBytes = SLOT_BYTES;
  readonly executor: AddressableExecutor;
  readonly kind: "crowded" | "uncrowded";
  readonly context: Pick<Context, "shared" | "areas">;
  readonly #page: AddressableBoard;
  readonly #gate: AddressableGate;
  readonly #size: number;
  /** What {@link slots} gave last, on either side. */
  readonly #slots: [readonly Span[], readonly Span[]] = [[], []];
  /** What {@link offered} gave last, by rank and index. */
  readonly #offered: Span[];

  constructor({ buffer, address, rank, size, executor, algorithms, cores, turn }: ThreadRegionOptions) {
    const page = new AddressableBoard(buffer, address, rank, size);
    const gate = new AddressableGate(page.gate, rank, size, cores);
    super({ size, gate, calls: page, turn });
    this.executor = executor;
    this.kind = size > cores ? "crowded" : "uncrowded";
    this.context = { shared: { region: this, executor, algorithms }, areas: null };
    this.#page = page;
    this.#gate = gate;
    this.#size = size;
    this.#offered = new Array<Span>(size * size);
  }

  slots(dtype: DataType, count: number): readonly Span[] {
    const page = this.#page;
    const kept = this.#slots[page.side];
    if (kept[0]?.dtype === dtype && kept[0].count === count) return kept;
    const slots = Array.from({ length: this.#size }, (_, rank) => this.executor.spanAt(page.slot(rank), dtype, count));
    this.#slots[page.side] = slots;
    return slots;
  }

  offer(index: number, span: Span): void {
    this.#page.offer(index, this.executor.addressOf(span), span.byteLength);
  }

  offered(rank: number, index: number, dtype: DataType, count: number): Span | null {
    const address = this.#page.offered(rank, index);
    if (address < 0) return null;
    const at = rank * this.#size + index;
    const kept = this.#offered[at];
    if (kept?.dtype === dtype && kept.count === count && this.executor.addressOf(kept) === address) return kept;
    const span = this.executor.spanAt(address, dtype, count);
    this.#offered[at] = span;
    return span;
  }

  stepThrough(once: () => void): Promise<void> | undefined {
    return this.arrived(
      this.#gate.arrive(() => {
        if (this.isSameCall()) once();
      }),
    );
  }
}
