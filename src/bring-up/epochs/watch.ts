/** Watch: the hooks of `onMembership`. Loaded when there is one. */
import type { MemberGroup, MembershipEvent } from "../../group/job.ts";
import { watchKnocks } from "../../membership/knocks.ts";
import type { JobParts } from "./parts.ts";

/** Calls `hook` for the ranks of `group`, and for ranks that knock, while `lasts` holds. */
export function watchMembership(
  { mesh, meeting, settings }: JobParts,
  { globalRanks }: MemberGroup,
  hook: (event: MembershipEvent) => void,
  lasts: () => boolean,
): void {
  const { logger } = settings;
  const tell = (event: MembershipEvent) => {
    try {
      hook(event);
    } catch (error) {
      logger.error("a hook of onMembership threw:", error);
    }
  };
  mesh.departureHooks.push((seat, type, reason) => {
    const rank = globalRanks.indexOf(seat);
    if (rank >= 0 && lasts()) tell({ type, rank, reason });
  });
  const onKnock = (seat: number) => tell({ type: "waiting", seat });
  watchKnocks(meeting.store, onKnock, () => !lasts()).catch((error: unknown) => {
    if (lasts()) logger.debug("ranks that wait to be let in are not watched any more:", error);
  });
}
