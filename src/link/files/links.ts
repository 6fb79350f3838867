/**
 * All file links of one rank, and the one loop that looks after them.
 *
 * Nobody can wait for a file to change, so the loop looks again and again for a while after anything moved, and lets
 * the event loop turn in between. Then it says that it sleeps, looks once more, and ends, until this rank sends or a
 * peer wakes it. It goes on looking for about as long as a sleep and the wake-up cost; hardly at all if the last wait
 * was much longer than that; and not at all if there are more ranks than cores, because a rank that looks keeps another
 * from working.
 */

import type { MemoryFile, Waits } from "../../platform.ts";
import { now } from "../../support/clock.ts";
import type { Link } from "../link.ts";
import { controlAt, type Layout, ringAt } from "./layout.ts";
import { FileLink, type Half } from "./link.ts";

/** How long the loop looks after the last movement, in milliseconds, and how long if the wait before that was a long one. */
const SPIN_MS = 2;
const SHORT_SPIN_MS = 0.02;
const LONG_WAIT_MS = 10;
/** How long it goes on before the event loop has to turn, in milliseconds. */
const SLICE_MS = 0.2;

/** A file with its layout. */
export interface LaidOut {
  readonly file: MemoryFile;
  readonly layout: Layout;
}

/** The files of a job in which every rank has opened the files of all, as one user of their areas has them. */
export interface OpenAreas {
  /** By rank. */
  readonly files: readonly LaidOut[];
  readonly waits: Waits;
  /** Are there more ranks on this host than cores? */
  readonly isCrowded: boolean;
  /** Wakes `rank` where it waits for the ranks of `group`. */
  wake(rank: number, group: number): void;
  close(): void;
}

/** Bring-up makes a rank's links with these, once the files are open. */
export interface FileLinksOptions {
  /** "mapped-memory" where the files are parts of common memory. */
  kind: FileLink["kind"];
  waits: Waits;
  /** Are there more ranks on this host than cores? */
  isCrowded: boolean;
  own: LaidOut;
  /** The files of the ranks to which this one may have links. */
  theirs: ReadonlyMap<number, LaidOut>;
  /** A rank of `group` has found that all have come to a step. */
  onWake(group: number): void;
  onError(rank: number, error: unknown): void;
}

/** See the file's head. */
export class FileLinks {
  readonly #options: FileLinksOptions;
  readonly #links = new Map<number, FileLink>();
  #areasAreOpen = false;
  #spinMs = 0;
  #running = false;
  /** The number of its present sleep; 0 while it is awake. */
  #asleep = 0;
  #sleeps = 0;
  #movedAt = 0;
  #sliceStart = 0;
  readonly #tick = () => this.#look();
  readonly #newSlice = () => {
    this.#sliceStart = now();
    this.#look();
  };

  constructor(options: FileLinksOptions) {
    this.#options = options;
  }

  /** The link to rank `other`, to which `underneath` is a direct one. */
  link(other: number, underneath: Link): FileLink {
    const { kind, own, onWake, onError } = this.#options;
    const link = new FileLink({
      kind,
      rank: own.layout.rank,
      own: this.#half(own, other),
      theirs: this.#half(this.#fileOf(other), own.layout.rank),
      underneath,
      onWork: () => this.#work(),
      onWake,
      onEnd: () => this.#ended(other),
      onError: (error) => onError(other, error),
    });
    this.#links.set(other, link);
    return link;
  }

  /** The files of all ranks, for one user of their areas; null if they have none. They stay open until `close`. */
  openAreas(): OpenAreas | null {
    const { own, theirs, waits, isCrowded } = this.#options;
    if (own.layout.areaBytes === 0 || theirs.size < own.layout.others.length) return null;
    this.#areasAreOpen = true;
    const files = Array.from({ length: theirs.size + 1 }, (_, rank) => theirs.get(rank) ?? own);
    return {
      files,
      waits,
      isCrowded,
      wake: (rank, group) => this.wake(rank, group),
      close: () => {
        this.#areasAreOpen = false;
        for (const { file, layout } of files) this.#closeIfDone(file, layout.rank);
      },
    };
  }

  /** Wakes `rank` where it waits for the ranks of `group`. */
  wake(rank: number, group: number): void {
    this.#links.get(rank)?.wake(group);
  }

  #fileOf(other: number): LaidOut {
    const file = this.#options.theirs.get(other);
    if (!file) throw new RangeError(`rank ${other} has no file here`);
    return file;
  }

  /** The half of a link that the file has for `rank`. */
  #half({ file, layout }: LaidOut, rank: number): Half {
    const index = layout.others.indexOf(rank);
    const ring = { file, at: ringAt(layout, index), ringBytes: layout.ringBytes };
    return { file, controlAt: controlAt(index), ring };
  }

  #work(): void {
    if (this.#running) return;
    this.#running = true;
    this.#wakeUp();
    this.#onMoved(now());
    this.#sliceStart = this.#movedAt;
    this.#options.waits.soon(this.#tick);
  }

  #wakeUp(): void {
    if (this.#asleep === 0) return;
    this.#asleep = 0;
    for (const link of this.#links.values()) link.announce(0);
  }

  #look(): void {
    const moved = this.#attendAll();
    const time = now();
    if (moved) {
      this.#onMoved(time);
    } else if (time - this.#movedAt >= this.#spinMs) {
      this.#sleep();
      return;
    }
    this.#again(time);
  }

  #onMoved(time: number): void {
    const spinMs = time - this.#movedAt < LONG_WAIT_MS ? SPIN_MS : SHORT_SPIN_MS;
    this.#spinMs = this.#options.isCrowded ? 0 : spinMs;
    this.#movedAt = time;
  }

  #again(time: number): void {
    const { soon, later } = this.#options.waits;
    if (time - this.#sliceStart < SLICE_MS) soon(this.#tick);
    else later(this.#newSlice);
  }

  #sleep(): void {
    this.#sleeps++;
    this.#asleep = this.#sleeps;
    for (const link of this.#links.values()) link.announce(this.#asleep);
    if (this.#attendAll()) {
      this.#wakeUp();
      this.#onMoved(now());
      this.#again(this.#movedAt);
    } else this.#running = false;
  }

  #attendAll(): boolean {
    let moved = false;
    for (const link of this.#links.values()) if (link.attend()) moved = true;
    return moved;
  }

  #ended(other: number): void {
    const { own } = this.#options;
    this.#links.delete(other);
    this.#closeIfDone(this.#fileOf(other).file, other);
    this.#closeIfDone(own.file, own.layout.rank);
  }

  /** Closes a file that neither links nor areas need. */
  #closeIfDone(file: MemoryFile, rank: number): void {
    const isOwn = rank === this.#options.own.layout.rank;
    if (!this.#areasAreOpen && !(isOwn ? this.#links.size > 0 : this.#links.has(rank))) file.close();
  }
}
