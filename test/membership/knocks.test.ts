/** A rank that joins at a store which does not keep what it is given. */
import { describe, expect, it } from "vitest";
import { StoreError, TimeoutError } from "../../src/errors.ts";
import { knock } from "../../src/membership/knocks.ts";
import { HashStore } from "../../src/store/hash-store.ts";

const OWN = Uint8Array.of(1, 2, 3);

/** A store whose `compareSet` writes nothing and gives this value. */
class DeafStore extends HashStore {
  readonly #given: Uint8Array;

  constructor(given: Uint8Array) {
    super();
    this.#given = given;
  }

  override async compareSet(): Promise<Uint8Array> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.#given;
  }
}

describe("knock()", () => {
  it("gives each rank the first number that is free", async () => {
    const store = new HashStore();
    const numbers = await Promise.all([3, 4, 5].map((seat) => knock(store, seat, OWN, 1000)));
    expect(numbers.sort()).toEqual([1, 2, 3]);
  });

  it("rejects at a store that keeps nothing", async () => {
    const error = await knock(new DeafStore(new Uint8Array(0)), 3, OWN, 60_000).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoreError);
    expect(String(error)).toContain("the store did not keep membership/knock/1");
  });

  it("rejects when its time is over at a store that gives every number to another", async () => {
    await expect(knock(new DeafStore(OWN), 3, OWN, 20)).rejects.toThrow(TimeoutError);
  });

  it("ends with the signal", async () => {
    const reason = new Error("enough");
    await expect(knock(new DeafStore(OWN), 3, OWN, 60_000, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
