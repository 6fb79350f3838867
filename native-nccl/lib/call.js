/** Calls of a communicator, checked before they are launched: NCCL itself checks nothing, and waits for ever where ranks differ. */
import { operation } from "./operation.js";
import { Stream } from "./stream.js";
import { describe, typeName } from "./tensor.js";

const BOTH = ["input", "output"];

/** Of each kind: the addon's code, its tensors, whether it computes, the tensor that is counted, and one with a part for each rank. */
const KINDS = {
  allReduce: { code: 0, uses: BOTH, reduces: true, counted: "input" },
  reduce: { code: 1, uses: BOTH, reduces: true, counted: "input" },
  broadcast: { code: 2, uses: BOTH, reduces: false, counted: "output" },
  allGather: { code: 3, uses: BOTH, reduces: false, counted: "input", whole: "output" },
  reduceScatter: { code: 4, uses: BOTH, reduces: true, counted: "output", whole: "input" },
  send: { code: 5, uses: ["input"], reduces: false, counted: "input" },
  recv: { code: 6, uses: ["output"], reduces: false, counted: "output" },
};

/**
 * One rank's part of a call, ready to launch. `place` has the communicator's rank, size and device, and `made`, its operations.
 * `at` is the place in a list that errors name, such as " at 1".
 * @throws TypeError or RangeError for whatever NCCL could not do.
 */
export function planCall(kind, place, { input, output, op = "sum", peer = 0, stream = null }, at = "") {
  const { code, uses, reduces, counted, whole } = KINDS[kind];
  const tensors = {};
  for (const name of uses) {
    // The result of a reduce is root's alone.
    if (kind === "reduce" && name === "output" && place.rank !== peer) continue;
    tensors[name] = describe(name === "input" ? input : output, !reduces, at);
  }
  const { input: from, output: to } = tensors;
  const { dtype, count } = tensors[counted];
  if (from && to && from.dtype !== to.dtype) {
    throw new TypeError(`${kind}${at}: the input is ${from.dtype}, and the output ${to.dtype}`);
  }
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor.cuda.device !== place.device) {
      throw new RangeError(
        `${kind}${at}: the ${name} is on device ${tensor.cuda.device}, and the communicator on device ${place.device}`,
      );
    }
    const needed = name === whole ? count * place.size : count;
    if (tensor.count < needed) {
      throw new RangeError(`${kind}${at}: the ${name} has ${tensor.count} elements, and ${needed} are needed`);
    }
  }
  const { code: opCode, factor } = reduces ? operation(op, dtype, place.device, place.made) : { code: 0, factor: null };
  const memory = (tensor) => (tensor ? [tensor.buffer, tensor.byteOffset, tensor.bytes] : [null, 0, 0]);
  const numbers = [count, tensors[counted].code, opCode, peer];
  return {
    ...{ dtype, count },
    used: [from?.cuda, to?.cuda],
    addonArguments: [code, ...memory(from), ...memory(to), ...numbers, factor, streamHandle(stream, place, at)],
  };
}

function streamHandle(stream, { device }, at) {
  if (stream === null) return null;
  if (!(stream instanceof Stream)) throw new TypeError(`expected Stream or null${at} (got ${typeName(stream)})`);
  if (stream.device !== device) {
    throw new RangeError(`the Stream${at} is on device ${stream.device}, and the communicator on device ${device}`);
  }
  return Stream.handle(stream);
}

/** @throws RangeError if `root` is no rank. `name` is the argument's. */
export function checkRoot(root, size, name = "root") {
  if (!Number.isInteger(root) || root < 0 || root >= size) throw new RangeError(`invalid ${name}`);
}
