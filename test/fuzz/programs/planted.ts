/**
 * planted FRAMES: plants a bug in each target of the fuzzer, one after the other, and prints as JSON how many frames it took until the
 * fuzzer found it, by the bug's name; null where it did not within FRAMES.
 */
import { Doorkeeper } from "../../../src/hub/doorkeeper.ts";
import { Reduction } from "../../../src/hub/reduction.ts";
import { HubConnection } from "../../../src/link/hub/connection.ts";
import { ChannelExchange } from "../../../src/messaging/exchange.ts";
import { LiveSpace } from "../../../src/store/live-space.ts";
import { fuzz } from "../fuzz.ts";

interface Bug {
  readonly target: string;
  /** Plants it; the function that it returns takes it out. */
  plant(): () => void;
}

/** Puts `method` in the place of a method, which it gets. */
function patch<T extends object, K extends keyof T & string>(
  owner: T,
  name: K,
  make: (right: T[K]) => T[K],
): () => void {
  const right = owner[name];
  owner[name] = make(right);
  return () => {
    owner[name] = right;
  };
}

/** What one client appends ends up in another's counter. */
function mixesSpaces(): () => void {
  const spaces = new Set<LiveSpace>();
  const takeOut = patch(
    LiveSpace.prototype,
    "add",
    (add) =>
      function (this: LiveSpace, key, amount) {
        spaces.add(this);
        return add.call(this, key, amount) as never;
      } as typeof add,
  );
  const takeOutToo = patch(
    LiveSpace.prototype,
    "append",
    (append) =>
      function (this: LiveSpace, key, value) {
        append.call(this, key, value);
        for (const space of spaces) for (const sum of ["sum", "/sum"]) if (space.contents.has(sum)) space.add(sum, 1);
      },
  );
  return () => {
    takeOut();
    takeOutToo();
  };
}

const BUGS: Record<string, Bug> = {
  "the hub: a store call changes another group's value": { target: "hub", plant: mixesSpaces },
  "the hub: an error outside of every call": {
    target: "hub",
    plant: () =>
      patch(Reduction.prototype, "end", () => () => {
        setImmediate(() => {
          throw new Error("planted");
        });
      }),
  },
  "a rank: a byte of a part is another one": {
    target: "rank",
    plant: () =>
      patch(
        ChannelExchange.prototype,
        "recv",
        (recv) =>
          async function (this: ChannelExchange, peer, target, slot) {
            await recv.call(this, peer, target, slot);
            target[7]! ^= 1;
          },
      ),
  },
  "a client: a store call gets another one's answer": {
    target: "client",
    plant: () => {
      let before: unknown = null;
      return patch(
        HubConnection.prototype,
        "call",
        (call) =>
          async function (this: HubConnection, ...args) {
            const result = await call.apply(this, args);
            const given = before;
            before = result;
            return given;
          },
      );
    },
  },
  "the handshake: a hello without a proof is let in": {
    target: "handshake",
    plant: () =>
      patch(
        Doorkeeper.prototype,
        "examine",
        (examine) =>
          function (this: Doorkeeper, challenge, said) {
            const guest = examine.call(this, challenge, said);
            if (guest || said.proof !== null) return guest;
            return { hello: said.hello, ticket: null, nonces: { challenge, hello: said.nonce }, key: null };
          },
      ),
  },
  "a TCPStore: what one client appends changes another's value": { target: "tcp-store", plant: mixesSpaces },
};

const most = Number(process.argv[2] ?? 20_000);
const found: Record<string, number | null> = {};
for (const [name, { target, plant }] of Object.entries(BUGS)) {
  const takeOut = plant();
  const { frames, findings } = await fuzz({ seed: 1, seconds: 120, frames: most, targets: [target], most: 1 });
  takeOut();
  found[name] = findings.length > 0 ? frames : null;
}
console.log(JSON.stringify(found));
process.exit(0);
