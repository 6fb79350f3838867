/** Traffic: what went between this rank and each other rank of a group, and how long this one waited for it. */

/** Numbers of a rank: bytes and messages sent, bytes and messages received, ms for which calls waited for it. */
export const TRAFFIC_FIELDS = 5;

/** The counts of one group on one rank. */
export class Traffic {
  /** {@link TRAFFIC_FIELDS} numbers for each rank of the group. */
  readonly counts: Float64Array;

  /** Bytes sent to a rank, on the link that groups share, which it has not taken yet, and those that wait to be sent. */
  readonly inFlight: (rank: number) => number;

  constructor(size: number, inFlight: (rank: number) => number) {
    this.inFlight = inFlight;
    this.counts = new Float64Array(size * TRAFFIC_FIELDS);
  }

  sent(rank: number, bytes: number): void {
    this.#add(rank, 0, bytes);
    this.#add(rank, 1, 1);
  }

  received(rank: number, bytes: number): void {
    this.#add(rank, 2, bytes);
    this.#add(rank, 3, 1);
  }

  waited(rank: number, ms: number): void {
    this.#add(rank, 4, ms);
  }

  #add(rank: number, field: number, value: number): void {
    const at = rank * TRAFFIC_FIELDS + field;
    this.counts[at] = (this.counts[at] as number) + value;
  }
}
