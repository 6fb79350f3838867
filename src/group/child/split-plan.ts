/** Split plans: which ranks a split puts together. Loaded when a group is split. */
import { MismatchError, ProtocolError } from "../../errors.ts";
import type { Membership } from "../job.ts";
import type { ChildPlan, ChildSettings } from "./child-group.ts";

/** What each rank says at a split: its color and key, the name that it gives, or null, and the kind of its backend. */
export type SplitChoice = [color: number | null, key: number, name: string | null, kind: string];

/**
 * The group of `rank` after a split; null if it has no color.
 * @throws MismatchError if ranks of one color give different names, or if two colors give the same: on every rank.
 */
export function planOfSplit(parent: Membership, said: readonly unknown[], own: ChildSettings): ChildPlan | null {
  const choices = said.map(splitChoice);
  const nameOf = new Map<number, { name: string | null; kind: string; rank: number }>();
  choices.forEach(([color, , name, kind], rank) => {
    if (color === null) return;
    const first = nameOf.get(color);
    if (first && first.kind !== kind) {
      const which = `of color ${color}, the backend of rank ${first.rank} is ${first.kind} and that of rank ${rank} ${kind}`;
      throw splitMismatch(parent, `${which}: all ranks of a color give one kind`, "backend");
    }
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
    if (!first) nameOf.set(color, { name, kind, rank });
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

function nameMismatch(parent: Membership, difference: string): MismatchError {
  return splitMismatch(parent, `${difference}: all ranks of a color give one name, and each color its own`, "name");
}

function splitMismatch({ name: group }: Membership, text: string, field: string): MismatchError {
  return new MismatchError(`group "${group}", split: ${text}`, { group, collective: "split", field });
}

/** What `rank` said at a split. */
function splitChoice(value: unknown, rank: number): SplitChoice {
  const [color, key, name, kind] = Array.isArray(value) ? value : [];
  const isChoice = (color === null || typeof color === "number") && typeof key === "number";
  if (!isChoice || (name !== null && typeof name !== "string") || typeof kind !== "string") {
    throw new ProtocolError(`the color, key, name and backend of rank ${rank} are none`);
  }
  return [color, key, name, kind];
}
