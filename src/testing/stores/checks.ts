/** What the cases of the store conformance suite are written with. */
import type { Store } from "../../store/store.ts";
import { ConformanceError } from "../stage.ts";

/** A store that is tried. */
export interface StoreUnderTest {
  /** A client of the store. */
  readonly store: Store;
  /** A second client of the same keys; the same object where there is only one. */
  readonly other: Store;
  /** Gives up what both use, and closes them. */
  dispose?(): unknown;
}

/** One case. */
export interface StoreCase {
  /** The case in words. */
  readonly name: string;
  /**
   * Runs the case on a new, empty store.
   * @throws ConformanceError that says what is wrong; or the error of a call.
   */
  run(make: () => StoreUnderTest | Promise<StoreUnderTest>): Promise<void>;
}

/** A case on a store that is disposed of afterwards. */
export function storeCase(name: string, body: (under: StoreUnderTest) => Promise<void>): StoreCase {
  return {
    name,
    async run(make) {
      const under = await make();
      try {
        await body(under);
      } finally {
        await under.dispose?.();
      }
    },
  };
}

/** The text of a value, a leading U+FEFF included. */
export const textOf = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** @throws ConformanceError if the two differ; lists are compared by their items, bytes too. */
export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (shown(actual) === shown(expected)) return;
  throw new ConformanceError(`${what}: got ${shown(actual).slice(0, 300)}, expected ${shown(expected).slice(0, 300)}`);
}

/** @throws ConformanceError unless `call` rejects with an error of that name whose message has `text` in it. */
export async function expectError(call: Promise<unknown>, errorName: string, text = ""): Promise<Error> {
  const outcome = await call.then(
    () => null,
    (error: unknown) => error,
  );
  if (!(outcome instanceof Error))
    throw new ConformanceError(`expected ${errorName} ("${text}"), but the call resolved`);
  if (outcome.name !== errorName || !outcome.message.includes(text)) {
    throw new ConformanceError(`expected ${errorName} ("${text}"), got ${outcome.name}: ${outcome.message}`, {
      cause: outcome,
    });
  }
  return outcome;
}

/** Equal for equal values. A number and a bigint differ. */
function shown(value: unknown): string {
  if (value instanceof Uint8Array) return `bytes [${value.join(" ")}]`;
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  return typeof value === "bigint" ? `${value}n` : JSON.stringify(value);
}
