/** ownBackend: how a backend is made that a user wrote, or whose calls are watched. Loaded for groups that have such a one. */
import { openHashes } from "../../executor/checksum/tensor-hash.ts";
import type { Backend, BackendContext, OwnBackend } from "../backend.ts";
import { CheckedBackend } from "./checked-backend.ts";
import { DebugBackend } from "./debug.ts";

/** `own`: a user wrote what makes it. `watched`: each of its calls is logged. */
export async function ownBackend(
  own: boolean,
  watched: boolean,
): Promise<(make: (context: BackendContext) => OwnBackend, context: BackendContext) => Backend> {
  const sums = watched ? await openHashes() : undefined;
  return (make, context) => {
    const given = make(context);
    const backend = own ? new CheckedBackend(given, context) : (given as Backend);
    return watched ? new DebugBackend(backend, context, sums) : backend;
  };
}
