/**
 * Reduction: the hub folds parts instead of relaying them. Each rank sends its part of a segment once and gets the
 * result once, so a tensor of S bytes costs a rank S up and S down, however many ranks there are.
 *
 * A member names a group's ranks, in group order, before its first frame of that group. Every frame has the call's
 * fingerprint; the result of a slot goes out when all ranks have come to it with the same one. Where they differ nothing
 * goes out, and it is the ranks that find out and say so (docs/protocol.md, "Agreement").
 *
 * A rank's bytes are charged to it until their slot is done. Ranks keep to a few segments each; past the rank's cap its
 * connection is closed. A rank is never paused for that: the part that completes a slot might then wait behind the pause. A
 * slot to which nobody came for an hour is forgotten when the next one begins.
 */
import { ProtocolError } from "../errors.ts";
import type { Executor } from "../executor/executor.ts";
import type { FragmentsPayload } from "../link/payload/fragments.ts";
import { REDUCE_OP_NAMES, type ReduceOp } from "../reduce-op.ts";
import { now } from "../support/clock.ts";
import { DATA_TYPES } from "../types.ts";
import { isSameCall } from "../wire/fingerprint.ts";
import {
  decodeFingerprint,
  encodeHeader,
  type Fingerprint,
  FoldFlag,
  FrameFlag,
  FrameKind,
  type Header,
  HUB_PEER,
  NO_CODE,
} from "../wire/frame.ts";
import { expectArray, expectInteger, type Fields } from "../wire/schema.ts";
import { Fold, type FoldRule } from "./fold.ts";

/** Most groups of one room that may be named at a time. */
const MAX_GROUPS = 4_096;
/** Bytes that a rank's arrival at a slot costs beyond its part. */
const SLOT_BYTES = 1_024;
/** Bytes that a group costs, and each of its ranks. */
const GROUP_BYTES = 1_024;
const RANK_BYTES = 16;
/** Longer than any call waits that has a timeout by default. */
const DEFAULT_SLOT_LIFE_MS = 3_600_000;

/** The hub, as a reduction needs it. Ranks are those of the job. */
export interface ReductionOwner {
  readonly executor: Executor;
  /** How many ranks the job has had. */
  seats(): number;
  /** Charges `rank` with bytes of a part or a list that are kept until the returned function is called. */
  hold(rank: number, byteLength: number, kind: "begun" | "lists"): () => void;
  /** How long a slot may wait without anyone coming to it, in milliseconds. Default: an hour. */
  readonly slotLifeMs?: number | undefined;
  /** Writes the payload's checksum into a header, where some rank wants it. */
  sealPayload(header: Uint8Array, payload: readonly Uint8Array[]): void;
  /**
   * Sends a frame whose payload is sealed; neither part may change until `onSent`, which is called even if the rank is
   * gone.
   */
  send(rank: number, header: Uint8Array, payload: readonly Uint8Array[], onSent: () => void): void;
}

interface Slot {
  readonly fingerprint: Fingerprint;
  readonly fold: Fold<FragmentsPayload>;
  /** The ranks that have come, each with the function that ends the count of its bytes. */
  readonly held: Map<number, () => void>;
  /** The ranks that want the result. */
  readonly wanting: Set<number>;
  broken: boolean;
  /** When somebody came last. */
  changedAt: number;
}

interface Group {
  readonly ranks: readonly number[];
  /** Members that need it no longer. */
  readonly ended: Set<number>;
  /** By sequence, then by slot. */
  readonly calls: Map<number, Map<number, Slot>>;
  /** Ends the charge for the group itself. */
  readonly release: () => void;
}

/** The folds of one room. */
export class Reduction {
  readonly #owner: ReductionOwner;
  readonly #groups = new Map<number, Group>();

  constructor(owner: ReductionOwner) {
    this.#owner = owner;
  }

  /** `{ type: "group", group, ranks }`: a member names one of its groups. */
  name(from: number, message: Fields): void {
    const group = groupOf(message);
    const ranks = expectArray(message, "ranks") as readonly number[];
    // A byte for each seat: a set of very many ranks would be much garbage.
    const seen = new Uint8Array(this.#owner.seats());
    const isNew = (rank: number) => {
      const isFirst = Number.isInteger(rank) && seen[rank] === 0;
      if (isFirst) seen[rank] = 1;
      return isFirst;
    };
    if (!ranks.every(isNew) || !ranks.includes(from)) {
      throw new ProtocolError("a group's ranks must be different ranks of the job, the sender's among them");
    }
    const known = this.#groups.get(group);
    if (known && known.ranks.join() !== ranks.join()) throw new ProtocolError("two members name different ranks");
    if (known) return;
    if (this.#groups.size >= MAX_GROUPS) throw new ProtocolError(`more than ${MAX_GROUPS} groups`);
    const release = this.#owner.hold(from, GROUP_BYTES + RANK_BYTES * ranks.length, "lists");
    this.#groups.set(group, { ranks, ended: new Set(), calls: new Map(), release });
  }

  /** `{ type: "group-end", group }`: a member needs the group no longer. */
  end(from: number, message: Fields): void {
    const id = groupOf(message);
    const group = this.#groups.get(id);
    if (!group?.ranks.includes(from)) return;
    group.ended.add(from);
    if (group.ended.size === group.ranks.length) this.#drop(id, group);
  }

  /** `{ type: "cancel", group, sequence }`: a call has failed at a member, and so it cannot end well anywhere. */
  cancel(from: number, message: Fields): void {
    const group = this.#groups.get(groupOf(message));
    if (group && !group.ranks.includes(from)) throw new ProtocolError("a rank cancels a call of a group it is not in");
    const sequence = expectInteger(message, "sequence", 0, Number.MAX_SAFE_INTEGER);
    for (const slot of group?.calls.get(sequence)?.values() ?? []) this.#release(slot);
    group?.calls.delete(sequence);
  }

  /**
   * A member comes to a slot.
   * @returns false if there is no such group, or the member is not in it.
   */
  arrive(from: number, header: Header, head: Uint8Array, payload: FragmentsPayload): boolean {
    const group = this.#groups.get(header.group);
    const index = group?.ranks.indexOf(from) ?? -1;
    if (!group || index < 0) return false;
    if (!(header.flags & FrameFlag.FINGERPRINT)) throw new ProtocolError("a fold without a fingerprint");
    const fingerprint = decodeFingerprint(head);
    const slot = this.#slot(group, header, fingerprint);
    if (slot.fold.has(index) || slot.held.has(from))
      throw new ProtocolError("a rank comes to a slot for the second time");
    slot.held.set(from, this.#owner.hold(from, payload.byteLength + SLOT_BYTES, "begun"));
    slot.changedAt = now();
    if (header.request & FoldFlag.WANTS) slot.wanting.add(from);
    const part = header.request & FoldFlag.HAS_PART ? payload : null;
    if (slot.broken || !isSameCall(slot.fingerprint, fingerprint) || !slot.fold.add(index, part)) slot.broken = true;
    if (slot.held.size === group.ranks.length) this.#finish(group, header, slot);
    return true;
  }

  /** A member is gone: the groups it was in can finish nothing more. */
  depart(rank: number): void {
    for (const [id, group] of this.#groups) if (group.ranks.includes(rank)) this.#drop(id, group);
  }

  #slot(group: Group, header: Header, fingerprint: Fingerprint): Slot {
    let call = group.calls.get(header.sequence);
    if (!call) {
      this.#expire(group);
      call = new Map();
      group.calls.set(header.sequence, call);
    }
    let slot = call.get(header.slot);
    if (!slot) {
      const fold = new Fold<FragmentsPayload>(this.#owner.executor, ruleOf(fingerprint), group.ranks.length);
      slot = { fingerprint, fold, held: new Map(), wanting: new Set(), broken: false, changedAt: 0 };
      call.set(header.slot, slot);
    }
    return slot;
  }

  /** The oldest calls, to which nobody comes any more, are forgotten. */
  #expire(group: Group): void {
    const { slotLifeMs = DEFAULT_SLOT_LIFE_MS } = this.#owner;
    for (const [sequence, call] of group.calls) {
      if ([...call.values()].some(({ changedAt }) => now() - changedAt < slotLifeMs)) return;
      for (const slot of call.values()) this.#release(slot);
      group.calls.delete(sequence);
    }
  }

  /** All have come: each gets the result, or an empty frame if it wanted none. */
  #finish(group: Group, { group: id, sequence, slot: number }: Header, slot: Slot): void {
    const call = group.calls.get(sequence);
    call?.delete(number);
    if (call?.size === 0) group.calls.delete(sequence);
    if (slot.broken) {
      this.#release(slot);
      return;
    }
    const result = slot.fold.result();
    const parts = result === null ? [] : "only" in result ? result.only.fragments : [result.folded];
    const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
    let unsent = group.ranks.length;
    const onSent = () => {
      unsent--;
      if (unsent === 0) this.#release(slot);
    };
    const fold = {
      kind: FrameKind.FOLD,
      flags: 0,
      peer: HUB_PEER,
      epoch: 0,
      slot: number,
      group: id,
      sequence,
      request: 0,
    };
    // The checksum of the result is the same for all.
    const full = encodeHeader({ ...fold, payloadBytes: byteLength }, null);
    const empty = encodeHeader({ ...fold, payloadBytes: 0 }, null);
    this.#owner.sealPayload(full, parts);
    this.#owner.sealPayload(empty, []);
    for (const rank of group.ranks) {
      const wants = slot.wanting.has(rank);
      this.#owner.send(rank, (wants ? full : empty).slice(), wants ? parts : [], onSent);
    }
  }

  #drop(id: number, group: Group): void {
    this.#groups.delete(id);
    group.release();
    for (const call of group.calls.values()) for (const slot of call.values()) this.#release(slot);
  }

  #release(slot: Slot): void {
    slot.fold.dispose();
    for (const release of slot.held.values()) release();
    slot.held.clear();
  }
}

function groupOf(message: Fields): number {
  return expectInteger(message, "group", 0, Number.MAX_SAFE_INTEGER);
}

/** How a call's parts are folded; null where none are. Operations with code of the caller are not run here (S21). */
function ruleOf({ dtype, op }: Fingerprint): FoldRule | null {
  if (op === NO_CODE) return null;
  const name = REDUCE_OP_NAMES[op];
  const type = DATA_TYPES[dtype];
  if (name === undefined || name === "custom" || type === undefined) {
    throw new ProtocolError(`a fold with operation ${op} on dtype ${dtype}`);
  }
  // Each rank has multiplied its part by its own factor.
  const named: ReduceOp = name === "premul-sum" ? { name: "sum" } : { name };
  return { dtype: type, op: named };
}
