/**
 * The order in which rank 0's gradients came in the first step, in which all ranks rebuild their buckets.
 *
 * By an allReduce, to which the other ranks give zeros: it fails on all ranks or on none, and a broadcast may fail on some, which would
 * then have other buckets. `finalize` calls it before the buckets have come: when they do is another time on each rank.
 */
import { ProtocolError } from "../../errors.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import type { ReductionStep } from "./reduction-step.ts";

/** `agreed` is null until all ranks have the order. */
export interface SharedOrder {
  agreed: readonly number[] | null;
}

/** Makes the call as a part of the step, whose failure it is if it fails. */
export function shareOrder(group: ProcessGroup, step: ReductionStep): SharedOrder {
  const { order } = step;
  const shared: SharedOrder = { agreed: null };
  const orderOfRoot = group.rank === 0 ? Int32Array.from(order) : new Int32Array(order.length);
  step.call(async (turn) => {
    await group.allReduce(orderOfRoot, { ...turn?.part });
    const isPermutation = new Set(orderOfRoot).size === order.length && orderOfRoot.every((index) => index in order);
    if (!isPermutation) {
      throw new ProtocolError(
        `group "${group.name}": rank 0 sent an order of gradients that is no permutation of the parameters`,
      );
    }
    shared.agreed = [...orderOfRoot];
  });
  return shared;
}
