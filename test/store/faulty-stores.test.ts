/** Stores of users that break the contract in every way: the bring-up ends with an error or well, in time, and the event loop goes on. */
import { describe, expect, it, onTestFinished } from "vitest";
import { HashStore, initProcessGroup, Store } from "../../src/node/index.ts";

const never = () => new Promise<never>(() => {});
const thrower = (): never => {
  throw new Error("the fault");
};
const rejects = () => Promise.reject(new Error("the fault"));
const quiet = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };

/** The methods that a bring-up needs, with answers that are none. */
const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  get: ["text", undefined, null, 5, [1, 2]],
  compareSet: ["text", undefined, null, 5],
  check: ["false", undefined, 1],
  add: ["5", undefined, Number.NaN, 0.5],
};

type Fault = readonly [name: string, fields: object, says: RegExp];

const FAULTS: readonly Fault[] = [
  ...Object.entries(WRONG).flatMap(([method, answers]) =>
    answers.map((answer): Fault => {
      const says = new RegExp(`the store's ${method} resolved to .* is needed`);
      return [`${method} gives ${JSON.stringify(answer) ?? "undefined"}`, { [method]: async () => answer }, says];
    }),
  ),
  ...["get", "set", "compareSet", "check", "wait"].flatMap((method): Fault[] => [
    [`${method} never answers`, { [method]: never }, /TimeoutError/],
    [`${method} throws`, { [method]: thrower }, /the fault/],
    [`${method} rejects`, { [method]: rejects }, /the fault/],
    [
      `${method} throws text`,
      {
        [method]: () => {
          throw "the fault";
        },
      },
      /StoreError: the store's \w+ failed: the fault/,
    ],
  ]),
  ["compareSet never writes", { compareSet: async () => new TextEncoder().encode("1") }, /Error/],
];

/** A store whose methods are another one's, but for some. */
function storeWith(fields: object): Store {
  return new Proxy(new HashStore(), {
    get: (target, name) => {
      const own = (fields as Record<PropertyKey, unknown>)[name];
      if (own) return own;
      // The engine's own form of these asks no method that is at fault.
      if (name === "multiGet" || name === "multiSet") return (Store.prototype as never)[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}

describe("initProcessGroup() at a store of the caller's whose", () => {
  it.each(FAULTS)("%s: rejects in time, or is well, and nothing else rejects", async (_name, fields, says) => {
    const stray: unknown[] = [];
    const onStray = (error: unknown) => stray.push(error);
    process.on("unhandledRejection", onStray);
    onTestFinished(() => void process.off("unhandledRejection", onStray));
    const store = storeWith(fields);
    const options = {
      store,
      worldSize: 2,
      timeoutMs: 200,
      backend: "cpu",
      transport: "websocket",
      logger: quiet,
    } as const;
    const ends = await Promise.allSettled([0, 1].map((rank) => initProcessGroup({ ...options, rank })));
    for (const end of ends) {
      if (end.status === "rejected") expect(String(end.reason)).toMatch(says);
    }
    // A method that a bring-up does not need may be anything.
    if (!/add/.test(_name)) expect(ends.some(({ status }) => status === "rejected")).toBe(true);
    await Promise.all(ends.map(async (end) => end.status === "fulfilled" && (await end.value.destroy())));
    await new Promise((resolve) => setImmediate(resolve));
    expect(stray).toEqual([]);
  });

  it.each([5, "tcp://127.0.0.1:1", {}, [], new Map(), Promise.resolve(new HashStore()), HashStore])(
    "methods are missing is refused with their names: %s",
    async (store) => {
      const options = { worldSize: 1, rank: 0, logger: quiet, store: store as never };
      await expect(initProcessGroup(options)).rejects.toThrow(/^the option store lacks .*: extend the class Store/);
    },
  );

  it("fields are private works", async () => {
    class Private extends HashStore {
      readonly #salt = "salt:";
      override get(key: string): Promise<Uint8Array> {
        return super.get(this.#salt.slice(0, 0) + key);
      }
    }
    const store = new Private();
    const options = { store, worldSize: 2, timeoutMs: 10_000, backend: "cpu", logger: quiet } as const;
    const groups = await Promise.all([0, 1].map((rank) => initProcessGroup({ ...options, rank })));
    await Promise.all(groups.map((group) => group.store.set(`k${group.rank}`, "v")));
    expect(await groups[1]!.store.check(["k0"])).toBe(true);
    await Promise.all(groups.map((group) => group.destroy()));
  });
});
