/** Late links: those between members of a group that runs and ranks that join it. They have messages alone, and share no files. */
import type { Link } from "../../link/link.ts";
import { startTimer } from "../../support/clock.ts";
import { linkBetween } from "../linking.ts";
import type { Medium } from "../media/medium.ts";
import type { RosterEntry } from "../roster.ts";

/**
 * Links this rank to `others`, as far as that works within `limitMs`; `take` gets each link. A link that comes later is closed.
 * Resolves to the seats without one.
 */
export async function linkJoiners(
  own: RosterEntry,
  others: readonly RosterEntry[],
  media: readonly Medium[],
  limitMs: number,
  take: (seat: number, link: Link) => void,
): Promise<number[]> {
  const pending = new Set(others.map(({ rank }) => rank));
  let isOver = false;
  const taken = (seat: number, link: Link) => {
    if (isOver) return link.close();
    pending.delete(seat);
    take(seat, link);
  };
  const all = others.map(async (other) => {
    const kind = linkBetween(own, other);
    await media.find((medium) => medium.kind === kind)?.link([other], taken);
  });
  // A link that cannot be is missing in the result.
  const settled = Promise.allSettled(all).then(() => {});
  await new Promise<void>((resolve) => {
    const timer = startTimer(limitMs, resolve);
    void settled.then(() => {
      timer.cancel();
      resolve();
    });
  });
  isOver = true;
  return [...pending];
}
