/** What does not go with `join: true`. Loaded where `join` is given. */
import { UnsupportedError } from "../../errors.ts";
import type { InitOptions } from "../init-options.ts";

/** @throws TypeError, RangeError or UnsupportedError if `join` is none, or does not go with the other options. */
export function checkJoin({ join, rank, worldSize, transport, backend }: InitOptions): void {
  if (typeof join !== "boolean") throw new TypeError(`join must be true or false, got ${typeof join}`);
  if (!join) return;
  if (rank !== undefined || worldSize !== undefined) {
    throw new RangeError("join: true takes no rank and no worldSize: the group that runs gives them");
  }
  const wanted = backend === "nccl" ? 'backend "nccl"' : `transport "${transport}"`;
  if (
    backend === "nccl" ||
    transport === "shared-file" ||
    transport === "shared-memory" ||
    transport === "message-port" ||
    transport === "webrtc"
  ) {
    throw new UnsupportedError(
      `${wanted} is not for a rank that joins a group, which has messages alone: leave it out`,
    );
  }
}
