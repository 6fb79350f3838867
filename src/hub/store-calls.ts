/** Store calls that members make over their link: { type: "call", id, op, args } → { type: "result", id, ok or error }. */
import { StoreError, toWireError } from "../errors.ts";
import { runStoreOp, STORE_OPS, storeErrorOf } from "../store/calls.ts";
import type { SpaceStore } from "../store/space-store.ts";
import { expectArray, expectInteger, expectOneOf, type Fields } from "../wire/schema.ts";

/**
 * Runs one call and hands its result to `reply`, also when the store refuses it.
 * @throws ProtocolError if the message is no store call.
 */
export function runStoreCall(
  store: SpaceStore,
  message: Fields,
  maxBytes: number,
  reply: (result: object) => void,
): void {
  const id = expectInteger(message, "id", 0, Number.MAX_SAFE_INTEGER);
  const op = expectOneOf(message, "op", STORE_OPS);
  void runStoreOp(store, op, expectArray(message, "args")).then(
    (value) => {
      const byteLength = valueBytes(value);
      if (byteLength <= maxBytes - RESULT_OVERHEAD_BYTES) return reply({ type: "result", id, ok: value ?? null });
      const error = new StoreError(`the value has ${byteLength} bytes, more than one message of this hub carries`);
      reply({ type: "result", id, error: toWireError(error) });
    },
    (error: unknown) => reply({ type: "result", id, error: toWireError(storeErrorOf(error)) }),
  );
}

/** Room for the frame's header, the map around a result, and the lengths of its values. */
const RESULT_OVERHEAD_BYTES = 65_536;

function valueBytes(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength;
  return Array.isArray(value) ? value.reduce((sum: number, item) => sum + valueBytes(item), 0) : 0;
}
