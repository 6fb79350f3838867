/** R10, R14's joins, R18: many members at one hub: idle ones, groups at work, and very many that come at once. */
import { connect } from "node:net";
import type { HubProcess } from "../../../test/hub/hub-process.ts";
import { Child, openHub } from "../processes.ts";
import { type Extent, type Part, type Row, round, toMib } from "../row.ts";

const GROUPS = 8;
const RANKS = 8;
const ROUNDS = 20;
const JOINS = 500;
/** As many as one address may have that have said nothing. */
const STRANGERS = 256;
const WITHIN_MS = 10_000;
/** The ranks of one group are in so many processes. */
const PROCESSES = 2;

interface Reduced {
  readonly ms: number;
  readonly wrong: number;
}
interface Joined {
  readonly joinedMs: number;
  readonly memory: number;
}

const sum = (values: readonly number[]) => values.reduce((all, one) => all + one, 0);

/** Sockets that are idle, and beside them groups at work. */
async function idle({ tabs }: Extent): Promise<Row> {
  const hub = await openHub();
  const before = await hub.memory();
  const sockets = new Child("idle", hub.url, String(tabs));
  await sockets.ask();
  const kib = ((await hub.memory()) - before) / 1024 / tabs;
  const groups = Array.from(
    { length: GROUPS },
    (_, i) => new Child("ranks", `${hub.url}/g${i}`, `${RANKS}`, "0", `${RANKS}`),
  );
  await Promise.all(groups.map((group) => group.ask<Joined>()));
  const reduced = await Promise.all(groups.map((group) => group.ask<Reduced>({ rounds: ROUNDS })));
  const areHere = (await sockets.ask({})) === "all here";
  const { members } = await hub.stats();
  await Promise.all(groups.map((group) => group.ask({ leave: true })));
  hub.kill();
  sockets.kill();
  const wrong = sum(reduced.map((one) => one.wrong));
  const isKept = areHere && wrong === 0 && members === tabs + GROUPS * RANKS;
  return {
    ...{ id: "R10", what: `${tabs} idle sockets, ${GROUPS} groups of ${RANKS}`, target: "all right", isKept },
    measured: `${kib.toFixed(1)} KiB a socket; ${GROUPS * RANKS * ROUNDS} allReduces, ${wrong} wrong`,
    figures: { kibPerSocket: round(kib), members, wrong, slowestMs: round(Math.max(...reduced.map(({ ms }) => ms))) },
  };
}

/** Connections of this address that say nothing. */
function strangersAt(hub: HubProcess): () => void {
  const { hostname, port } = new URL(hub.url);
  const sockets = Array.from({ length: STRANGERS }, () => connect(Number(port), hostname).on("error", () => {}));
  return () => {
    for (const socket of sockets) socket.destroy();
  };
}

/** Ranks of one address that join at once, beside strangers of the same address. */
async function joins(): Promise<Row> {
  const hub = await openHub();
  const end = strangersAt(hub);
  const members = new Child("idle", hub.url, String(JOINS));
  const ms = await members.ask<number>();
  end();
  members.kill();
  hub.kill();
  return {
    ...{
      id: "W9",
      what: `${JOINS} joins at once, beside ${STRANGERS} silent strangers of their address`,
      target: "10 s",
    },
    ...{ measured: `${round(ms / 1_000)} s`, isKept: ms <= WITHIN_MS, figures: { ms: round(ms) } },
  };
}

/** Ranks that have the hub alone come, reduce and leave: by the wire alone, or as whole process groups, of which each meets all others. */
async function tabs(program: "tabs" | "ranks", count: number): Promise<Row> {
  const hub = await openHub();
  const before = await hub.memory();
  const share = Math.ceil(count / PROCESSES);
  const children = Array.from({ length: PROCESSES }, (_, i) => {
    const first = i * share;
    const url = program === "tabs" ? hub.url : `${hub.url}/tabs`;
    return new Child(program, url, `${count}`, `${first}`, `${Math.min(share, count - first)}`);
  });
  const joined = await Promise.all(children.map((child) => child.ask<Joined>()));
  const atHub = ((await hub.memory()) - before) / count;
  const reduced = await Promise.all(children.map((child) => child.ask<Reduced>({ rounds: 1 })));
  await Promise.all(children.map((child) => child.ask({ leave: true })));
  const left = await hub.stats();
  hub.kill();
  const joinedMs = Math.max(...joined.map((one) => one.joinedMs));
  const memory = sum(joined.map((one) => one.memory)) / count;
  const wrong = sum(reduced.map((one) => one.wrong));
  const reducedMs = Math.max(...reduced.map(({ ms }) => ms));
  return {
    ...{
      id: "R18",
      what: `${count} ${program === "tabs" ? "simulated tabs" : "ranks of one process group"} join, reduce, leave`,
      target: "10 s, all right",
    },
    isKept: joinedMs <= WITHIN_MS && wrong === 0 && left.rooms === 0,
    measured:
      `joined in ${round(joinedMs / 1_000)} s, reduced in ${round(reducedMs / 1_000)} s, ${wrong} wrong; ` +
      `${(atHub / 1024).toFixed(1)} KiB a tab at the hub, ${toMib(memory)} MiB in its own process`,
    figures: {
      joinedMs: round(joinedMs),
      reducedMs: round(reducedMs),
      wrong,
      rooms: left.rooms,
      kibAtHub: round(atHub / 1024),
    },
  };
}

export const crowds: Part = {
  ids: ["R10", "W9", "R18"],
  async *measure(extent, isWanted) {
    if (isWanted("R10")) yield await idle(extent);
    if (isWanted("W9")) yield await joins();
    if (isWanted("R18")) {
      yield await tabs("tabs", extent.tabs);
      yield await tabs("ranks", extent.ranks);
    }
  },
};
