/** A server at a unix socket that nobody but this user may open, from the first moment on. */
import { chmodSync, linkSync, lstatSync, mkdtempSync, rmdirSync, unlinkSync } from "node:fs";
import type { Server } from "node:http";
import { connect } from "node:net";
import { dirname, join, resolve } from "node:path";
import { textOf } from "../../support/thrown.ts";

/** Most bytes of a socket's path, as the operating systems have it. */
const MAX_PATH_BYTES = 103;

/**
 * Opens `server` at `path`; a socket there that a process has left behind is taken away. Returns the function that closes it.
 * The socket is made in a folder that only this user may enter, and shown at its path once its mode is 0600.
 * @throws RangeError if the path is too long, is taken, or cannot be made.
 */
export async function openUnixSocket(server: Server, path: string): Promise<() => void> {
  const target = resolve(path);
  const folder = privateFolder(target);
  const hidden = join(folder, "s");
  try {
    if (Math.max(Buffer.byteLength(target), Buffer.byteLength(hidden)) > MAX_PATH_BYTES) {
      throw new RangeError(
        `the path of a unix socket has at most ${MAX_PATH_BYTES} bytes, choose a shorter one than ${path}`,
      );
    }
    await listen(server, hidden);
    try {
      chmodSync(hidden, 0o600);
      await show(hidden, target);
    } catch (error) {
      server.close();
      throw error;
    }
    unlinkSync(hidden);
  } catch (error) {
    if (error instanceof RangeError) throw error;
    throw new RangeError(`the unix socket ${path} could not be made: ${textOf(error)}`, { cause: error });
  } finally {
    rmdirSync(folder);
  }
  const { ino } = lstatSync(target);
  return () => {
    server.close();
    // Somebody else may have a socket there by now.
    if (lstatSync(target, { throwIfNoEntry: false })?.ino === ino) unlinkSync(target);
  };
}

function privateFolder(target: string): string {
  try {
    return mkdtempSync(join(dirname(target), ".w"));
  } catch (error) {
    throw new RangeError(`the unix socket ${target} could not be made: ${textOf(error)}`, { cause: error });
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((done, failed) => {
    server.once("error", failed);
    server.listen({ path }, () => {
      server.off("error", failed);
      done();
    });
  });
}

/** Gives the socket its name, which must be free. */
async function show(hidden: string, target: string): Promise<void> {
  try {
    linkSync(hidden, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (!lstatSync(target).isSocket() || (await answers(target))) {
      throw new RangeError(`${target} exists already: choose another path, or end the program that has it`);
    }
    unlinkSync(target);
    linkSync(hidden, target);
  }
}

/** Does a process listen there? */
function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ path }, () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}
