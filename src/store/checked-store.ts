/** A store of the caller's, held to the contract: an answer of the wrong kind is an error that names the method, and whatever it throws rejects. */
import { StoreError } from "../errors.ts";
import { textOf } from "../support/thrown.ts";
import type { Store } from "./store.ts";

const isBytes = (value: unknown) => value instanceof Uint8Array;
const isCounter = (value: unknown) => typeof value === "bigint" || Number.isSafeInteger(value);
const isFlag = (value: unknown) => typeof value === "boolean";

/** What each method resolves to; of the others nothing is used. */
const ANSWERS: Readonly<Record<string, readonly [what: string, is: (value: unknown) => boolean]>> = {
  get: ["a Uint8Array", isBytes],
  compareSet: ["a Uint8Array", isBytes],
  queuePop: ["a Uint8Array", isBytes],
  multiGet: ["a list of Uint8Arrays", (value) => Array.isArray(value) && value.every(isBytes)],
  add: ["a whole number", isCounter],
  numKeys: ["a whole number", isCounter],
  queueLen: ["a whole number", isCounter],
  check: ["true or false", isFlag],
  deleteKey: ["true or false", isFlag],
};

/** What a store must have itself; the class Store has the rest. */
const METHODS = ["set", "get", "compareSet", "add", "check", "wait", "deleteKey", "numKeys", "close"] as const;

/**
 * `store` with its answers checked. A method rejects with StoreError where an answer is of the wrong kind.
 * @throws TypeError if it is no store.
 */
export function checkedStore(store: Store): Store {
  const fields = Object(store) as Partial<Record<string, unknown>>;
  const lacks = METHODS.filter((method) => typeof fields[method] !== "function");
  if (lacks.length > 0)
    throw new TypeError(`the option store lacks ${lacks.join(", ")}: extend the class Store (docs/stores.md)`);
  return new Proxy(store, {
    // Its own fields may be private: they are there for no other object.
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function" || name === "constructor") return value;
      // The one method that answers at once.
      if (name === "hasExtendedApi") return value.bind(target);
      return async (...given: unknown[]) => answerOf(String(name), () => value.apply(target, given));
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}

async function answerOf(method: string, call: () => unknown): Promise<unknown> {
  let answer: unknown;
  try {
    answer = await call();
  } catch (error) {
    if (error instanceof Error) throw error;
    throw new StoreError(`the store's ${method} failed: ${textOf(error)}`, { cause: error });
  }
  const [what, is] = ANSWERS[method] ?? ["anything", () => true];
  if (is(answer)) return answer;
  throw new StoreError(
    `the store's ${method} resolved to ${typeof answer === "string" ? JSON.stringify(answer) : textOf(answer)}, and ${what} is needed (the class Store)`,
  );
}
