/**
 * The conformance suite of a store: every call, alone and beside others, from two clients. It is for any store, runtime and
 * test runner: a case is a function that makes a new store and throws where the store is wrong.
 */
import { COUNTER_CASES, VALUE_CASES } from "./cases.ts";
import { expectError, type StoreCase, storeCase } from "./checks.ts";
import { CLOSE_CASE, CONCURRENT_CASES, DELETE_CASES, QUEUE_CASES, WAIT_CASES } from "./waits.ts";

/** What a store is known not to do. */
export interface StoreLimits {
  /** `deleteKey` throws UnsupportedError, as a FileStore's does. */
  readonly cannotDelete?: boolean;
  /** `close` leaves it open, as a PrefixStore's does. */
  readonly staysOpen?: boolean;
}

const CANNOT_DELETE = storeCase("deleteKey() throws UnsupportedError", async ({ store }) => {
  await expectError(store.deleteKey("key"), "UnsupportedError");
});

/** The cases for a store with these limits. */
export function storeCases({ cannotDelete = false, staysOpen = false }: StoreLimits = {}): readonly StoreCase[] {
  return [
    ...VALUE_CASES,
    ...COUNTER_CASES,
    ...WAIT_CASES,
    ...QUEUE_CASES,
    ...CONCURRENT_CASES,
    ...(cannotDelete ? [CANNOT_DELETE] : DELETE_CASES),
    ...(staysOpen ? [] : [CLOSE_CASE]),
  ];
}
