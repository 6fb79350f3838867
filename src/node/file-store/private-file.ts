/**
 * Private files: those of a job, which this user alone may read and write. A path may lie in a folder where others write, such
 * as /tmp: a link there is not followed, a pipe blocks nobody, and a file of another user is refused.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats } from "node:fs";
import { StoreError } from "../../errors.ts";
import { textOf } from "../../support/thrown.ts";

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_APPEND } = constants;
/** Windows has neither of the two. */
const SAFELY = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** How a file is opened: to be read, to be appended to and made where it is absent, or to be made where it is absent. */
const FLAGS = {
  read: O_RDONLY,
  append: O_RDWR | O_CREAT | O_APPEND,
  create: O_RDWR | O_CREAT | O_EXCL,
} as const;

/** A file that is open, and what it is. The caller closes it. */
export interface PrivateFile {
  readonly descriptor: number;
  readonly stats: Stats;
}

/**
 * Opens a file; null if it is absent, or for "create" if it is there.
 * @throws StoreError if it is no ordinary file, another user's, or open to others.
 */
export function openPrivate(path: string, how: keyof typeof FLAGS): PrivateFile | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, FLAGS[how] | SAFELY, 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if ((code === "ENOENT" && how === "read") || (code === "EEXIST" && how === "create")) return null;
    // ELOOP: a link. ENXIO: a socket, or a pipe that nobody reads.
    if (code === "ELOOP" || code === "ENXIO") throw refusal(path, "it is no ordinary file");
    throw new StoreError(`the file ${path} cannot be opened: ${textOf(cause)}`, { cause });
  }
  const stats = fstatSync(descriptor);
  const fault = faultOf(path, stats);
  if (fault === null) return { descriptor, stats };
  closeSync(descriptor);
  throw refusal(path, fault);
}

/** Why a file is not to be used, or null. */
function faultOf(path: string, { uid, mode, ino }: Stats): string | null {
  // A runtime that knows no O_NOFOLLOW has followed a link: what lies at the path is looked at, too.
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there?.isSymbolicLink()) return "it is a link";
  const isOrdinary = (mode & constants.S_IFMT) === constants.S_IFREG;
  if (!isOrdinary || (there && there.ino === ino && !there.isFile())) return "it is no ordinary file";
  const user = process.getuid?.();
  if (user === undefined) return null;
  if (uid !== user) return `it belongs to user ${uid}, and this process to user ${user}`;
  const open = mode & 0o077;
  return open === 0 ? null : `other users may open it (its mode is ${(mode & 0o777).toString(8)}): chmod 600 it`;
}

const refusal = (path: string, fault: string) =>
  new StoreError(`the file ${path} is refused: ${fault}. Remove it, or choose another path`);
