/**
 * The page: every tab that opens it trains along. Whenever a tab comes or goes, the tabs make a new group (demo/attendance.ts), get
 * the state of the one that has come furthest, and go on.
 */
import * as tf from "@tensorflow/tfjs";
import type { ProcessGroup } from "webccl";
import { distributed } from "webccl/tfjs";
import { Attendance } from "../../../demo/attendance.ts";
import { byId, cell, notice, rankCell, status } from "../../../demo/display.ts";
import { formatMs } from "../../../demo/format.ts";
import { browserName } from "../../../src/cli/info/browser-name.ts";
import { randomOf } from "../../shared/random.ts";
import { lossOf, nextCharacter } from "../model.ts";
import { SHAPE } from "../shape.ts";
import { batchOf, decode, encode } from "../text.ts";
import { TrainingState } from "../training-state.ts";
import { openLossChart } from "./loss-chart.ts";

/** Pieces of text for each rank and step: a step takes about 100 ms on tf.js's cpu backend. */
const PIECES = 4;
const MOST_STEPS = 5000;
/** Characters that this tab writes after each step, and of them those that are shown. */
const WRITES = 2;
const SHOWN = 600;
const TEMPERATURE = 0.8;

/** A tab, as the others are told of it. */
interface Tab {
  browser: string;
}

/** What a step tells of each rank. */
interface Told {
  ms: number;
  /** Of the weights' bits. */
  hash: number;
}

const state = new TrainingState(SHAPE);
const drawLoss = openLossChart(byId("plot"));
const random = randomOf(Math.floor(2 ** 32 * Math.random()));
const written = encode("\n");
let tabs: readonly Tab[] = [];

const attendance = new Attendance<Tab>({
  command: "npx tsx examples/gpt/serve.ts",
  timeoutMs: 30_000,
  describe: async () => ({ browser: browserName(navigator.userAgent) }),
  onRound: (_round, described) => {
    tabs = described;
    showRanks([]);
  },
  // The same class: serve.ts builds this page with webccl's source, of which the demo's parts are.
  work: (group) => train(group as unknown as ProcessGroup),
  onLeft: () => {
    showRanks([]);
    // The group has lost a rank and has ended; the tabs that are left make the next one.
    attendance.goOn();
  },
  onClosed: () => {},
});

async function train(group: ProcessGroup): Promise<void> {
  try {
    await state.share(group);
    const optimizer = distributed(state.optimizer, group);
    status(
      group.size === 1
        ? "One rank, this tab, trains. Open the page in another tab to have two."
        : `${group.size} ranks train together.`,
      "running",
    );
    while (state.losses.length < MOST_STEPS) {
      if (await step(group, optimizer)) return;
      await write(WRITES);
      await new Promise<void>(nextTurn);
    }
    status("The training has ended.", "ready");
    while (!attendance.isSuperseded()) {
      await write(1);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } catch (error) {
    const anyLeft = attendance.round.tabs.some((tab) => attendance.lobby.isGone(tab));
    if (!anyLeft && !attendance.isSuperseded()) attendance.offerToGoOn((error as Error).message);
  }
}

/** One step of all ranks. Resolves to true, on all ranks alike, if one of them knows of a later round. */
async function step(group: ProcessGroup, optimizer: ReturnType<typeof distributed<tf.AdamOptimizer>>) {
  const { rank, size } = group;
  const start = performance.now();
  const own = batchOf(group, { batch: PIECES * size, length: SHAPE.context, seed: 1, step: state.losses.length });
  const loss = optimizer.minimize(() => lossOf(SHAPE, state.weights, own), true, state.variables)!;
  const ms = performance.now() - start;
  await optimizer.settled();
  const ownLoss = loss.dataSync()[0]!;
  loss.dispose();
  // Before the next call, which may fail: the weights have made the step.
  state.losses.push(ownLoss);
  state.samples += PIECES * size;
  // One sum tells all ranks the loss, whether there is a later round, and the time and the weights of each rank.
  const told = new Float32Array(2 + 2 * size);
  told.set([ownLoss / size, attendance.isSuperseded() ? 1 : 0]);
  told.set([ms, await hashOfWeights()], 2 + 2 * rank);
  await group.allReduce(told);
  state.losses[state.losses.length - 1] = told[0]!;
  showProgress();
  showRanks(Array.from({ length: size }, (_, r) => ({ ms: told[2 + 2 * r]!, hash: told[3 + 2 * r]! })));
  return told[1]! > 0;
}

/** 24 bits, which f32 holds exactly, by FNV-1a over the words of all weights. */
async function hashOfWeights(): Promise<number> {
  let hash = 0x811c9dc5;
  for (const variable of state.variables) {
    const floats = await variable.data<"float32">();
    for (const word of new Uint32Array(floats.buffer, floats.byteOffset, floats.length)) {
      hash = Math.imul(hash ^ word, 0x01000193);
    }
  }
  return hash >>> 8;
}

async function write(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    written.push(await nextCharacter(SHAPE, state.weights, written, TEMPERATURE, random));
  }
  if (written.length > 2 * SHOWN) written.splice(0, written.length - SHOWN);
  byId("text").textContent = decode(written.slice(-SHOWN)).trimStart();
}

/** Lets the page draw and take what came; a timer would wait for a second in a tab that nobody looks at. */
function nextTurn(go: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    go();
  };
  port2.postMessage(null);
}

function showProgress(): void {
  const steps = state.losses.length;
  const recent = state.losses.slice(-20);
  const mean = recent.reduce((sum, loss) => sum + loss, 0) / recent.length;
  byId("progress").textContent = `Step ${steps}, ${state.samples} pieces of text, loss ${mean.toFixed(3)}`;
  drawLoss(state.losses);
}

function showRanks(told: readonly Told[]): void {
  const { round, lobby } = attendance;
  const rows = round.tabs.map((tab, rank) => {
    const row = document.createElement("tr");
    if (lobby.isGone(tab)) row.className = "gone";
    const one = told[rank];
    row.append(rankCell(rank, tab === lobby.tab), cell(tabs[rank]?.browser ?? "a tab", "td", "wide"));
    row.append(cell(one ? formatMs(one.ms) : "", "td", "number"));
    row.append(cell(one ? one.hash.toString(16).padStart(6, "0") : "", "td", "number"));
    return row;
  });
  byId("ranks").replaceChildren(...rows);
  const same = told.every(({ hash }) => hash === told[0]?.hash);
  byId("same").textContent = same
    ? "Equal hashes: every rank has the same weights, to the last bit."
    : "The weights differ in their last bits: browsers may round exp in different ways.";
}

await tf.setBackend("cpu");
notice(null);
void attendance.enter();
