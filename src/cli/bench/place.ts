/** Where a rank of `webccl bench` measures, in words. */
import type { ProcessGroup } from "../../node/index.ts";

/** The kinds of link between this rank and the others, such as "shared-file". */
export function transportOf(group: ProcessGroup): string {
  const links = new Set(
    group
      .info()
      .ranks.map(({ link }) => link)
      .filter((link) => link !== "self"),
  );
  return [...links].join("+") || "none";
}

/** The group's entry for this rank. */
export function ownEntry(group: ProcessGroup): ReturnType<ProcessGroup["info"]>["ranks"][number] {
  const entry = group.info().ranks.find(({ rank }) => rank === group.rank);
  if (!entry) throw new Error(`the group does not know its rank ${group.rank}`);
  return entry;
}
