/** A rank that is killed during the bring-up: the others are told at once, and meet again at the same place with one that follows it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createHub, type HubServer } from "../../src/node/hub.ts";
import { FileStore } from "../../src/node/index.ts";
import { bundled } from "../helpers/bundled.ts";
import { freePort } from "../helpers/free-port.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const PROGRAM = fileURLToPath(new URL("programs/dying-rank.ts", import.meta.url));
const RANKS = 3;
/** Most milliseconds from the kill until the others are told. */
const AT_ONCE_MS = 2_000;

interface Rank {
  child: ChildProcess;
  messages: { at: number; sum?: number; error?: string; message?: string; lost?: number | null }[];
  ended: Promise<unknown>;
}

async function start(place: string, rank: number, env: Record<string, string> = {}): Promise<Rank> {
  const more = { PLACE: place, RANK: String(rank), RANKS: String(RANKS), ...env };
  const child = fork(await bundled(PROGRAM), { env: { ...process.env, ...more } });
  onTestFinished(() => void child.kill("SIGKILL"));
  const messages: Rank["messages"] = [];
  child.on("message", (message) => messages.push(message as Rank["messages"][number]));
  return { child, messages, ended: once(child, "close") };
}

async function openHub(): Promise<HubServer> {
  const hub = await createHub({ port: 0 });
  onTestFinished(() => hub.close());
  return hub;
}

const PLACES: Readonly<Record<string, () => Promise<string>>> = {
  "file://": async () => `file://${temporaryFolder()}/meeting`,
  "tcp://": async () => `tcp://127.0.0.1:${await freePort()}`,
  "a hub of its own": async () => `${(await openHub()).url}/killed`,
};

describe.each(Object.entries(PLACES))("a rank that is killed during the bring-up at %s", (_, placeOf) => {
  it("in whichever phase: the others lose it and no other, and meet again with one that follows", async () => {
    const property = fc.asyncProperty(
      fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 400 })),
      fc.nat({ max: RANKS - 1 }),
      async (after, victim) => {
        const place = await placeOf();
        const ranks = await Promise.all(
          Array.from({ length: RANKS }, (_, rank) =>
            start(place, rank, rank === victim ? { DIE_AFTER: String(after) } : { TRIES: "4" }),
          ),
        );
        await ranks[victim]!.ended;
        // It may have ended well before.
        if (ranks[victim]!.messages.length > 0) return;
        const killedAt = Date.now();
        ranks[victim] = await start(place, victim, { TRIES: "4" });
        await Promise.all(ranks.map(({ ended }) => ended));
        for (const [rank, { messages }] of ranks.entries()) {
          expect(messages.at(-1), `rank ${rank}: ${JSON.stringify(messages)}`).toMatchObject({ sum: RANKS });
          for (const { at, error, lost, message } of messages.slice(0, -1)) {
            expect({ error, lost }, `rank ${rank}: ${message}`).toEqual({ error: "PeerLostError", lost: victim });
            expect(at - killedAt).toBeLessThan(AT_ONCE_MS);
          }
        }
      },
    );
    await fc.assert(property, { numRuns: Number(process.env.WEBCCL_FAULT_RUNS ?? 6), endOnFailure: true });
  }, 120_000);
});

describe("a rank that is killed while all wait for one that does not come", () => {
  const env = { RANKS: String(RANKS + 1) };

  /** Kills rank 1 once `haveMet` holds; the others are told within two seconds. */
  async function expectTold(place: string, haveMet: () => Promise<boolean> | boolean): Promise<void> {
    const ranks = await Promise.all(Array.from({ length: RANKS }, (_, rank) => start(place, rank, env)));
    await vi.waitFor(async () => expect(await haveMet()).toBe(true), { timeout: 20_000, interval: 20 });
    const killedAt = Date.now();
    ranks[1]!.child.kill("SIGKILL");
    for (const { messages, ended } of [ranks[0]!, ranks[2]!]) {
      await ended;
      expect(messages).toMatchObject([{ error: "PeerLostError", lost: 1 }]);
      expect(messages[0]!.at - killedAt).toBeLessThan(AT_ONCE_MS);
    }
  }

  it("is told at a file", async () => {
    const path = `${temporaryFolder()}/meeting`;
    const store = new FileStore(path);
    await expectTold(`file://${path}`, () => store.check([0, 1, 2].map((rank) => `default/1/roster/${rank}`)));
  });

  it("is told at a hub", async () => {
    const hub = await openHub();
    await expectTold(`${hub.url}/killed`, () => hub.stats.members === RANKS);
  });
});
