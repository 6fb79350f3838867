/**
 * webccl on Bun, where it does not run: whatever would begin a group, a store or a hub refuses.
 */
import { UnsupportedError } from "../errors.ts";
import { type DebugLevel, debugLevelIn } from "../logger.ts";
import { ON_BUN } from "../node/environment/bun.ts";

export * from "../index.ts";

const refused = () => new UnsupportedError(ON_BUN);

/** A class of another runtime; here its constructor throws UnsupportedError, and so do its static functions. */
class Refused {
  constructor() {
    throw refused();
  }

  static async listen(): Promise<never> {
    throw refused();
  }

  static async connect(): Promise<never> {
    throw refused();
  }
}

export class FileStore extends Refused {}
export class HubStore extends Refused {}
export class RedisStore extends Refused {}
export class TcpStore extends Refused {}
export class WorkerServer extends Refused {}

/** Rejects with UnsupportedError. */
export async function initProcessGroup(): Promise<never> {
  throw refused();
}

/** Rejects with UnsupportedError. */
export async function spawnRanks(): Promise<never> {
  throw refused();
}

/** As on Node. */
export function getDebugLevel(): DebugLevel {
  return debugLevelIn((name) => process.env[name]);
}
