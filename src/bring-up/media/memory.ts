/** Memory: ranks that are tasks of one thread. Their links are there when they have met. */
import type { Link } from "../../link/link.ts";
import { type Medium, PLAIN } from "./medium.ts";

/** The medium of a rank that has these links to all others. */
export function memoryMedium(links: ReadonlyMap<number, Link>): Medium {
  return {
    ...PLAIN,
    kind: "memory",
    offer: { inMemory: true },
    link: async (others, take) => {
      for (const { rank } of others) {
        const link = links.get(rank);
        if (link) take(rank, link);
      }
    },
  };
}
