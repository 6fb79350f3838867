/** Child groups: the settings of a group that is made of ranks of another one, and which ranks a split puts together. */
import { MismatchError } from "../errors.ts";
import type { NewGroupOptions } from "../options.ts";
import { checkGroupName } from "../wire/handshake.ts";
import type { Job, Membership } from "./job.ts";

/** What a child's options come to on this rank. */
export interface ChildSettings {
  name: string;
  description: string;
  timeoutMs: number;
}

/** A group to be made of these ranks of its parent, in this order. */
export interface ChildPlan extends ChildSettings {
  ranks: readonly number[];
}

/**
 * The settings of a child group.
 * @throws TypeError if the name or the description is no string; RangeError if the name is empty, too long or not well-formed,
 * or if the job has or had a group of that name.
 */
export function settingsOfChild(
  parent: Membership,
  { groupNames }: Job,
  defaultName: string,
  { name = defaultName, description = name, timeoutMs = parent.timeoutMs }: NewGroupOptions,
): ChildSettings {
  if (name !== defaultName) checkGroupName(name, "name");
  if (typeof description !== "string") throw new TypeError(`description must be a string, got ${typeof description}`);
  if (groupNames.has(name)) {
    throw new RangeError(`name is "${name}", and this job has or had a group of that name: give each group its own`);
  }
  return { name, description, timeoutMs };
}

/** What each rank says at a split: its color and key, and the name that it gives, or null. */
export type SplitChoice = [color: number | null, key: number, name: string | null];

/**
 * The group of `rank` after a split; null if it has no color.
 * @throws MismatchError if ranks of one color give different names, or if two colors give the same: on every rank.
 */
export function planOfSplit(parent: Membership, choices: readonly SplitChoice[], own: ChildSettings): ChildPlan | null {
  const nameOf = new Map<number, { name: string | null; rank: number }>();
  choices.forEach(([color, , name], rank) => {
    if (color === null) return;
    const first = nameOf.get(color);
    if (first && first.name !== name) {
      throw nameMismatch(
        parent,
        `of color ${color}, rank ${first.rank} gives ${quoted(first.name)} and rank ${rank} ${quoted(name)}`,
      );
    }
    for (const [other, named] of nameOf) {
      if (other === color || name === null || named.name !== name) continue;
      throw nameMismatch(
        parent,
        `rank ${named.rank} of color ${other} and rank ${rank} of color ${color} give ${quoted(name)}`,
      );
    }
    if (!first) nameOf.set(color, { name, rank });
  });
  const color = choices[parent.rank]?.[0] ?? null;
  if (color === null) return null;
  const ranks = choices
    .map(([chosen, key], rank) => ({ rank, chosen, key }))
    .filter(({ chosen }) => chosen === color)
    .sort((a, b) => a.key - b.key || a.rank - b.rank)
    .map(({ rank }) => rank);
  return { ...own, ranks };
}

function quoted(name: string | null): string {
  return name === null ? "no name" : `the name "${name}"`;
}

function nameMismatch({ name: group }: Membership, difference: string): MismatchError {
  return new MismatchError(
    `group "${group}", split: ${difference}: all ranks of a color give one name, and each color its own`,
    {
      group,
      collective: "split",
      field: "name",
    },
  );
}
