/** One way: a tensor sent, until its receiver has said that it is there. */
import type { ProcessGroup } from "../src/group/process-group.ts";

const answer = new Float32Array(1);

/** Rank 0 of `group` sends `data` to rank 1, which answers. */
export async function oneWay(group: ProcessGroup, data: Float32Array): Promise<void> {
  if (group.rank === 0) {
    await group.send(data, 1);
    await group.recv(answer, 1);
  } else {
    await group.recv(data, 0);
    await group.send(answer, 0);
  }
}
