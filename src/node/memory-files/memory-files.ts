/** Files in memory that processes of this host share: tmpfs, by positional reads and writes. Deno uses it too. */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  type Stats,
  statfsSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { UnsupportedError } from "../../errors.ts";
import type { MemoryFile, MemoryFiles } from "../../platform.ts";
import { isOfThread, newName, ownerHasDied, PREFIX } from "./owner.ts";
import { removeAtDeath, removeNow } from "./temporary-names.ts";
import { waits } from "./waits.ts";

export const MEMORY_FILE_DIRECTORY = "/dev/shm";
/** The type that statfs gives a tmpfs. */
const TMPFS = 0x01021994;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;
/** A name of this age was left by a process that was killed. */
const LEFT_MS = 3_600_000;
const ZEROS = new Uint8Array(256 * 1024);

/**
 * Where this host's processes can share files.
 * @throws UnsupportedError that says what is missing.
 */
export function memoryFiles(): MemoryFiles {
  let type: number | null = null;
  try {
    type = statfsSync(MEMORY_FILE_DIRECTORY).type;
  } catch (cause) {
    throw new UnsupportedError(`${MEMORY_FILE_DIRECTORY}: ${(cause as Error).message}`, { cause });
  }
  if (type !== TMPFS) throw new UnsupportedError(`${MEMORY_FILE_DIRECTORY} is no tmpfs`);
  removeLeft();
  return {
    create: () => {
      const path = join(MEMORY_FILE_DIRECTORY, newName());
      removeAtDeath(path);
      return { path, file: new NodeMemoryFile(openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)) };
    },
    open,
    unlink: removeNow,
    waits,
  };
}

function open(path: string): MemoryFile {
  const isOurs = dirname(path) === MEMORY_FILE_DIRECTORY && basename(path).startsWith(PREFIX);
  if (!isOurs) throw new UnsupportedError(`${path} is not where shared files are`);
  const file = new NodeMemoryFile(openSync(path, O_RDONLY | O_NOFOLLOW));
  try {
    file.requireOwn(path);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Removes the names of threads or processes that have died in their bring-up: later, no file has a name. */
function removeLeft(): void {
  removeNames((name, { mtimeMs }) => ownerHasDied(name) ?? Date.now() - mtimeMs > LEFT_MS);
}

/** Removes the names that thread `thread` of this process has left: one that is terminated cannot do so itself. */
export function removeNamesOfThread(thread: number): void {
  removeNames((name) => isOfThread(name, thread));
}

function removeNames(isLeft: (name: string, stat: Stats) => boolean): void {
  for (const name of namesThere()) {
    const path = join(MEMORY_FILE_DIRECTORY, name);
    try {
      const stat = lstatSync(path);
      if (stat.uid === process.getuid?.() && isLeft(name, stat)) unlinkSync(path);
    } catch {
      // Another rank has removed it.
    }
  }
}

/** The names of all shared files of this host; none where there is no such directory. */
function namesThere(): string[] {
  try {
    return readdirSync(MEMORY_FILE_DIRECTORY).filter((name) => name.startsWith(PREFIX));
  } catch {
    return [];
  }
}

class NodeMemoryFile implements MemoryFile {
  #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  read(target: Uint8Array, position: number): void {
    const { byteLength } = target;
    let done = readSync(this.#descriptor, target, 0, byteLength, position);
    while (done < byteLength) {
      const count = readSync(this.#descriptor, target, done, byteLength - done, position + done);
      if (count === 0) throw new Error(`a shared file ends before byte ${position + byteLength}`);
      done += count;
    }
  }

  write(bytes: Uint8Array, position: number): void {
    const { byteLength } = bytes;
    let done = 0;
    while (done < byteLength) done += writeSync(this.#descriptor, bytes, done, byteLength - done, position + done);
  }

  reserve(byteLength: number): void {
    try {
      for (let at = 0; at < byteLength; at += ZEROS.byteLength) {
        this.write(ZEROS.subarray(0, Math.min(ZEROS.byteLength, byteLength - at)), at);
      }
    } catch (cause) {
      throw new Error(`${MEMORY_FILE_DIRECTORY} has no room for ${byteLength} bytes: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  close(): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  /** @throws Error unless the file is this user's, and nobody else's to read or write. */
  requireOwn(path: string): void {
    const { uid, mode } = fstatSync(this.#descriptor);
    if (uid !== process.getuid?.()) throw new Error(`${path} is a file of another user`);
    if (mode % 0o100 !== 0) throw new Error(`${path} may be opened by other users`);
  }
}
