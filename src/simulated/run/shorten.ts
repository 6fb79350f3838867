/** Shortens a schedule that breaks an invariant to one that breaks the same. */
import type { Schedule } from "./schedule.ts";

/** Most schedules that are tried. */
const MOST_TRIES = 200;

/** Schedules that are a little shorter, the shortest first. */
function* shorter(schedule: Schedule): Generator<Schedule> {
  const { faults, ranks, calls, topology, joins } = schedule;
  for (const dropped of faults) yield { ...schedule, faults: faults.filter((fault) => fault !== dropped) };
  const last = `rank ${ranks - 1}`;
  const needsLast = faults.some((fault) => fault.where === last || ("other" in fault && fault.other === last));
  if (ranks > 2 && !needsLast) yield { ...schedule, ranks: ranks - 1 };
  if (calls > 1) yield { ...schedule, calls: Math.floor(calls / 2) };
  if (calls > 2) yield { ...schedule, calls: calls - 1 };
  if (joins) yield { ...schedule, joins: joins - 1 };
  if (schedule.latencyMs !== 1) yield { ...schedule, latencyMs: 1 };
  if (schedule.leaves === "exit") yield { ...schedule, leaves: "destroy" };
  if (topology === "mixed") yield { ...schedule, topology: "hub" };
}

/** `breaks` says whether a schedule breaks the invariant. */
export async function shorten(schedule: Schedule, breaks: (schedule: Schedule) => Promise<boolean>): Promise<Schedule> {
  let best = schedule;
  for (let tries = 0, isShorter = true; isShorter; ) {
    isShorter = false;
    for (const candidate of shorter(best)) {
      if (++tries > MOST_TRIES) return best;
      if (!(await breaks(candidate))) continue;
      best = candidate;
      isShorter = true;
      break;
    }
  }
  return best;
}
