/** The promise of a group, which tells a program that forgot to await it what is missing. */
import type { ProcessGroup } from "../group/process-group.ts";

/** The members of a group that programs reach for first. */
const MEMBERS = ["rank", "size", "allReduce", "broadcast", "destroy"];

/** `promise` itself, whose `rank`, `allReduce` and so on throw a TypeError in place of being undefined. */
export function pendingGroup(promise: Promise<ProcessGroup>): Promise<ProcessGroup> {
  const get = () => {
    throw new TypeError("initProcessGroup gives a promise: await it");
  };
  return Object.defineProperties(promise, Object.fromEntries(MEMBERS.map((name) => [name, { get }])));
}
