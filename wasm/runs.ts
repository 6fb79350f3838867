/**
 * Runs of bytes that lie anywhere, copied into one whole and out of it: the tensors of a list, most of them short. A call of the engine's
 * own copy would take longer than such a run.
 *
 * The table has three words for each run: its address, where it begins in the whole, and how many bytes it has. The runs and the whole are disjoint.
 */

/** Bytes of a table's entry. */
const ENTRY: usize = 12;
/** From so many bytes on the engine's own copy is the faster one. */
const LONG: usize = 512;

/** Copies every run into the whole. */
export function gather(table: usize, runs: usize, whole: usize): void {
  for (const end = table + runs * ENTRY; table < end; table += ENTRY) {
    copyRun(whole + load<u32>(table, 4), load<u32>(table), load<u32>(table, 8));
  }
}

/** Copies every run out of the whole. */
export function scatter(table: usize, runs: usize, whole: usize): void {
  for (const end = table + runs * ENTRY; table < end; table += ENTRY) {
    copyRun(load<u32>(table), whole + load<u32>(table, 4), load<u32>(table, 8));
  }
}

// @ts-ignore: decorator
@inline
function copyRun(to: usize, from: usize, bytes: usize): void {
  if (bytes >= LONG) {
    memory.copy(to, from, bytes);
    return;
  }
  const end = to + bytes;
  for (; to + 16 <= end; to += 16, from += 16) v128.store(to, v128.load(from));
  for (; to + 4 <= end; to += 4, from += 4) store<u32>(to, load<u32>(from));
  for (; to < end; to++, from++) store<u8>(to, load<u8>(from));
}
