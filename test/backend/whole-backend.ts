/** A backend that lacks nothing, and does nothing. */
import type { Backend } from "../../src/backend/backend.ts";

export const WHOLE: Backend = {
  name: "own",
  run: () => undefined,
  sitOut: () => {},
  stragglers: async () => [],
  withdraw: () => false,
  abort: () => {},
  dispose: async () => {},
};
