/**
 * Window: how the memory is laid out that the processes of one host have in common, and the groups that have a board in it.
 * Each process has it at another address of its WebAssembly memory, so all positions count from the window's start.
 *
 *   byte  size  window of n ranks
 *      0    16  a random number that its maker tells the others: nobody takes another memory for it
 *   4096   512  groups: the number of the group that has each board, 64-bit integer, 0 for none
 *   8192   b×m  boards (region/addressable/board.ts)
 *    then   n×  blocks, from a multiple of 4096 on: what link/files/layout.ts says of a rank's file
 *    then   n×  parts, from a multiple of 64 KiB on: each rank's tensors, of which it reserves as many bytes as it uses
 *
 * A block's bytes are written by its rank alone. What a rank reads is checked before it is used: a position that another
 * rank wrote, and how much it says there is.
 */
import { fileBytes, type Layout } from "../files/layout.ts";

const PAGE_BYTES = 4096;
const GROUPS_AT = PAGE_BYTES;
const BOARDS_AT = 2 * PAGE_BYTES;
const PART_ALIGNMENT = 65_536;
/** Most groups that have a board, and most bytes of all boards but the first. */
const MOST_BOARDS = 64;
const MOST_BOARD_BYTES = 8 * 1024 * 1024;

/** Where the parts of a window are. */
export interface WindowLayout {
  readonly ranks: number;
  readonly boards: number;
  readonly boardBytes: number;
  readonly blocksAt: number;
  readonly blockBytes: number;
  readonly partsAt: number;
  readonly partBytes: number;
}

/**
 * A window of `byteLength` bytes for `ranks`, with a block of this layout and boards of `boardBytes`, a multiple of 64.
 * @throws RangeError if the window has no room for them.
 */
export function windowLayout(ranks: number, byteLength: number, block: Layout, boardBytes: number): WindowLayout {
  const boards = Math.min(MOST_BOARDS, 1 + Math.floor(MOST_BOARD_BYTES / boardBytes));
  const blocksAt = roundUp(BOARDS_AT + boards * boardBytes, PAGE_BYTES);
  const blockBytes = roundUp(fileBytes(block), PAGE_BYTES);
  const partsAt = roundUp(blocksAt + ranks * blockBytes, PART_ALIGNMENT);
  const partBytes = Math.floor((byteLength - partsAt) / ranks / PART_ALIGNMENT) * PART_ALIGNMENT;
  if (partBytes < PART_ALIGNMENT) {
    throw new RangeError(`${ranks} ranks do not fit into ${byteLength} bytes of common memory`);
  }
  return { ranks, boards, boardBytes, blocksAt, blockBytes, partsAt, partBytes };
}

function roundUp(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}

/** The position of a rank's block. */
export function blockAt({ blocksAt, blockBytes }: WindowLayout, index: number): number {
  return blocksAt + index * blockBytes;
}

/** The position of a rank's part. */
export function partAt({ partsAt, partBytes }: WindowLayout, index: number): number {
  return partsAt + index * partBytes;
}

/**
 * The position of the board of `group`, the same for whichever rank asks; -1 if there is none for it. The first rank that
 * asks for a group takes the next board. A board is never given back: who asks when all are taken would not know what another
 * rank of its group was told before.
 */
export function boardOf(buffer: ArrayBufferLike, start: number, layout: WindowLayout, group: number): number {
  const groups = new BigInt64Array(buffer, start + GROUPS_AT, layout.boards);
  const wanted = BigInt(group);
  for (let index = 0; index < layout.boards; index++) {
    const found = Atomics.compareExchange(groups, index, 0n, wanted);
    if (found === 0n || found === wanted) return BOARDS_AT + index * layout.boardBytes;
  }
  return -1;
}
