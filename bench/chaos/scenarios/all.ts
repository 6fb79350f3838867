/** Every promise that `npm run chaos` puts to the test, in the order of docs/reliability.md. */
import type { Scenario } from "../scenario.ts";
import { badNetwork } from "./bad-network.ts";
import { busyMachine } from "./busy-machine.ts";
import { churn } from "./churn.ts";
import { joins } from "./joins.ts";
import { killedHub } from "./killed-hub.ts";
import { killedRank } from "./killed-rank.ts";
import { longRun } from "./long-run.ts";
import { lostDevice } from "./lost-device.ts";
import { mismatch } from "./mismatch.ts";
import { shrunkGroup } from "./shrunk-group.ts";
import { stoppedRank } from "./stopped-rank.ts";

export const SCENARIOS: readonly Scenario[] = [
  ...[killedRank, stoppedRank, shrunkGroup, killedHub, lostDevice, mismatch, churn],
  ...[longRun, badNetwork, joins, busyMachine],
];
