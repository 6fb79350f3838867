/**
 * Files through which processes of one host exchange bytes, and how their bytes are laid out.
 *
 * Every rank has one file, which it alone writes and the others read: a write locks its file, so no two writers wait
 * for each other. In it is, for each other rank of the host in ascending order, a control block and a ring.
 *
 *   byte  size  file of rank r, with n other ranks
 *      0     4  magic 0x46434357 ("WCCF")
 *      4     4  version 5
 *      8     4  r
 *     12     4  n
 *     16     4  bytes of a ring
 *     20     4  bytes of an area, 0 if there is none
 *   4096 n×256  control blocks
 *        n×ring rings, from the next multiple of 4096 on
 *               r's steps and areas, if there are any, from the next multiple of 4096 on
 *
 *   byte  size  control block for rank p: three flags, numbers of 64-bit floating point, each alone in its cache line
 *      0     8  bytes that r has written to p's ring here
 *     64     8  bytes that r has read of its ring in p's file
 *    128     8  0 while r is awake, else which of its sleeps it is in, doubled, plus 1 if it waits for room in p's ring here
 *
 *   byte  size  record in a ring, which begins at a multiple of 64; it may go on at the ring's start
 *      0     4  bytes of the frame's header
 *      4     4  bytes of the payload
 *      8        header, then the payload from the next multiple of 64 on
 *
 *   byte  size  steps and areas
 *      0     8  number of r's steps doubled, plus 1 while it sleeps, 64-bit floating point
 *    128    88  the call whose first step an even one is: its record (wire/call-record.ts)
 *    256    88  the same of an odd step
 *   4096  area  the bytes that r puts before its even steps
 *         area  the bytes that it puts before odd steps
 *
 * A reader sees data before the flag that tells of it: the lock that ends each write orders the kernel's copies of one
 * process, and a flag of 8 bytes that lies in one cache line is copied whole. A rank that says it sleeps reads the
 * others' flags once more before it does; a rank that has written a flag then reads whether the other sleeps. A read of
 * the file first takes a reference of its page, which is a full barrier. So at least one of the two sees the other.
 */
import { ProtocolError } from "../../errors.ts";
import type { MemoryFile } from "../../platform.ts";

const MAGIC = 0x46434357;
const VERSION = 5;
const PAGE_BYTES = 4096;
const CONTROL_BYTES = 256;
/** A record begins at a multiple of this, and so does its payload. */
export const LINE_BYTES = 64;
/** Bytes of a record before the frame's header. */
export const RECORD_HEAD_BYTES = 8;

/** Where a control block's flags are. */
export const Flag = { WRITTEN: 0, READ: 64, ASLEEP: 128 } as const;
/** Bytes of a control block from its start to the end of its last flag. */
export const FLAGS_BYTES = 136;

const MAX_RING_BYTES = 1024 * 1024;
const MIN_RING_BYTES = 64 * 1024;
const MAX_FILE_BYTES = 16 * 1024 * 1024;
/**
 * Bytes of an area for two ranks, and for more. An area begins at a page and is a multiple of pages long, because the
 * kernel copies page by page. The bytes of one step should stay in the caches that the ranks have in common until they
 * are got.
 */
const PAIR_AREA_BYTES = 1024 * 1024;
const AREA_BYTES = 512 * 1024;
/** Room for a rank's call record at a step (wire/call-record.ts). */
const CALL_BYTES = 128;

/** One rank's file. */
export interface Layout {
  readonly rank: number;
  /** The ranks it has rings for, ascending. */
  readonly others: readonly number[];
  readonly ringBytes: number;
  /** 0 if it has no areas. */
  readonly areaBytes: number;
}

/** A file for `others`. With many of them the rings are shorter. It has areas if these are all the ranks of a job. */
export function layoutOf(rank: number, others: readonly number[], hasAreas: boolean): Layout {
  let ringBytes = MAX_RING_BYTES;
  while (ringBytes > MIN_RING_BYTES && ringBytes * others.length > MAX_FILE_BYTES) ringBytes /= 2;
  const areaBytes = others.length === 1 ? PAIR_AREA_BYTES : AREA_BYTES;
  return { rank, others, ringBytes, areaBytes: hasAreas ? areaBytes : 0 };
}

/** Position of the control block for the rank at `index` among the others. */
export function controlAt(index: number): number {
  return PAGE_BYTES + index * CONTROL_BYTES;
}

/** Position of its ring. */
export function ringAt({ others, ringBytes }: Layout, index: number): number {
  return Math.ceil(controlAt(others.length) / PAGE_BYTES) * PAGE_BYTES + index * ringBytes;
}

/** Position of the flag that counts the rank's steps. */
export function stepsAt(layout: Layout): number {
  return ringAt(layout, layout.others.length);
}

/** Position of the rank's call record at a step. */
export function callAt(layout: Layout, step: number): number {
  return stepsAt(layout) + (1 + (step % 2)) * CALL_BYTES;
}

/** Position of the area of a step. */
export function areaAt(layout: Layout, step: number): number {
  return stepsAt(layout) + PAGE_BYTES + (step % 2) * layout.areaBytes;
}

/** Bytes of the whole file. */
export function fileBytes(layout: Layout): number {
  return layout.areaBytes === 0 ? stepsAt(layout) : areaAt(layout, 0) + 2 * layout.areaBytes;
}

/** Reserves a new file's memory and says in it how it is laid out. */
export function format(file: MemoryFile, layout: Layout): void {
  file.reserve(fileBytes(layout));
  file.write(headOf(layout), 0);
}

/**
 * Checks that another rank's file is laid out as this rank expects.
 * @throws ProtocolError if it is not.
 */
export function checkLayout(file: MemoryFile, expected: Layout): void {
  const wanted = headOf(expected);
  const head = new Uint8Array(wanted.byteLength);
  file.read(head, 0);
  if (head.some((byte, i) => byte !== wanted[i])) {
    throw new ProtocolError(`the shared file of rank ${expected.rank} is laid out in another way`);
  }
}

function headOf({ rank, others, ringBytes, areaBytes }: Layout): Uint8Array {
  return new Uint8Array(Uint32Array.of(MAGIC, VERSION, rank, others.length, ringBytes, areaBytes).buffer);
}
