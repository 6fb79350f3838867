/** R8, R9: what members and strangers do to a hub: its memory, and how soon a healthy group beside them is served. */
import { fuzz } from "../../../test/fuzz/fuzz.ts";
import { ATTACKS, BOMBS } from "../../../test/hub/attacks.ts";
import { Child, openHub } from "../processes.ts";
import { type Extent, MIB, type Part, quantile, type Row, round, toMib } from "../row.ts";

/** How long the group is watched before an attack, and how long the attack goes on. */
const QUIET_MS = 2_000;
const ATTACK_SECONDS = 3;
const MOST_GROWTH = 64 * MIB;

async function attacked(id: string, name: string): Promise<Row> {
  const hub = await openHub();
  const healthy = new Child("healthy", hub.url);
  await healthy.ask();
  const times = () => healthy.ask<number[]>({});
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const attacker = new Child("attacker", hub.url, name, String(ATTACK_SECONDS));
  await attacker.ask();
  // Until the code of all is compiled.
  await wait(QUIET_MS / 2);
  await times();
  await wait(QUIET_MS);
  const quiet = await times();
  const growth = await hub.growth(async () => {
    await times();
    await attacker.ask({});
  });
  const during = await times();
  await wait(QUIET_MS);
  const after = await times();
  const isAlive = hub.isAlive;
  for (const one of [healthy, attacker, hub]) one.kill();
  // The quieter of both, because other programs of the machine make one of them longer.
  const quietP99 = Math.min(quantile(quiet, 0.99), quantile(after, 0.99));
  const p99 = quantile(during, 0.99);
  const isKept = isAlive && growth <= MOST_GROWTH && p99 <= 2 * quietP99;
  return {
    ...{ id, what: name, target: "+64 MiB, p99 2 × quiet", isKept },
    measured: `+${toMib(growth)} MiB, p99 ${round(p99)} of ${round(quietP99)} ms (${round(p99 / quietP99)} ×)`,
    figures: {
      ...{ growthMib: toMib(growth), quietP50: round(quantile(quiet, 0.5)), quietP99: round(quietP99) },
      ...{ p50: round(quantile(during, 0.5)), p99: round(p99), rounds: during.length },
    },
  };
}

async function fuzzed({ frames, seed }: Extent): Promise<Row> {
  const { frames: sent, sessions, findings } = await fuzz({ seed, frames, seconds: 3_600 });
  return {
    ...{ id: "R8", what: "drawn frames", target: "no crash, no unhandled rejection, no wrong value" },
    ...{ measured: `${sent} frames, ${findings.length} findings`, isKept: findings.length === 0 && sent >= frames },
    figures: { frames: sent, sessions, findings: findings.length, seed },
  };
}

export const attacks: Part = {
  ids: ["R8", "R9"],
  async *measure(extent, isWanted) {
    const wanted = (attacks: object) => Object.keys(attacks).filter((name) => name.includes(extent.attack));
    if (isWanted("R8")) {
      for (const name of wanted(ATTACKS)) yield await attacked("R8", name);
      if (extent.frames > 0) yield await fuzzed(extent);
    }
    if (isWanted("R9")) for (const name of wanted(BOMBS)) yield await attacked("R9", name);
  },
};
