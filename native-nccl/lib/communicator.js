/** One rank's communicator. */
import { native } from "./addon.js";
import { load, UNIQUE_ID_BYTES } from "./library.js";
import { Stream } from "./stream.js";
import { DTYPES, describe, factorBytes, operation } from "./tensor.js";

const KINDS = { allReduce: 0, reduce: 1, broadcast: 2, allGather: 3, reduceScatter: 4, send: 5, recv: 6 };

export class Communicator {
  #native;
  /** The memory in use by calls that are not flushed yet. */
  #used = [];

  constructor(handle, { rank, size, device }) {
    this.#native = handle;
    this.rank = rank;
    this.size = size;
    this.device = device;
  }

  allReduce(output, input, op = "sum", stream = null) {
    this.#run("allReduce", input, output, describe(input, "input").count, op, 0, stream);
  }

  reduce(output, input, root, op = "sum", stream = null) {
    checkRoot(root, this.size);
    this.#run("reduce", input, this.rank === root ? output : input, describe(input, "input").count, op, root, stream);
  }

  broadcast(output, input, root, stream = null) {
    checkRoot(root, this.size);
    this.#run("broadcast", input ?? output, output, describe(output, "output", true).count, "sum", root, stream);
  }

  allGather(output, input, stream = null) {
    this.#run("allGather", input, output, describe(input, "input", true).count, "sum", 0, stream);
  }

  reduceScatter(output, input, op = "sum", stream = null) {
    this.#run("reduceScatter", input, output, describe(output, "output").count, op, 0, stream);
  }

  send(input, peer, stream = null) {
    checkRoot(peer, this.size, "peer");
    this.#run("send", input, null, describe(input, "input", true).count, "sum", peer, stream);
  }

  recv(output, peer, stream = null) {
    checkRoot(peer, this.size, "peer");
    this.#run("recv", null, output, describe(output, "output", true).count, "sum", peer, stream);
  }

  groupStart() {
    this.#native.groupStart();
  }

  groupEnd() {
    this.#native.groupEnd();
  }

  group(body) {
    this.groupStart();
    try {
      body();
    } finally {
      this.groupEnd();
    }
  }

  copyIn(output, host) {
    const to = describe(output, "output", true);
    this.#used.push(host, to.cuda);
    this.#native.copyIn(to.buffer, to.byteOffset, host);
  }

  copyOut(host, input) {
    const from = describe(input, "input", true);
    this.#used.push(host, from.cuda);
    this.#native.copyOut(host, from.buffer, from.byteOffset);
  }

  copyWithin(output, input) {
    const to = describe(output, "output", true);
    const from = describe(input, "input", true);
    this.#used.push(to.cuda, from.cuda);
    this.#native.copyWithin(to.buffer, to.byteOffset, from.buffer, from.byteOffset, from.bytes);
  }

  async flush() {
    const used = this.#used;
    this.#used = [];
    try {
      await this.#native.flush();
    } finally {
      used.length = 0;
    }
  }

  abort(reason = "the communicator was aborted") {
    this.#native.abort(String(reason));
  }

  getAsyncError() {
    return this.#native.asyncError();
  }

  async split(color, key = this.rank) {
    const handle = await this.#native.split(color ?? -1, key);
    return handle && new Communicator(handle, { rank: null, size: null, device: this.device });
  }

  createPreMulSum(factor, dtype) {
    return this.#native.createPreMulSum(factorBytes(dtype, factor), DTYPES[dtype]);
  }

  destroyRedOp(op) {
    this.#native.destroyRedOp(op);
  }

  dispose() {
    return this.#native.dispose();
  }

  #run(kind, input, output, count, op, peer, stream) {
    const moves = kind === "broadcast" || kind === "allGather" || kind === "send" || kind === "recv";
    const from = input && describe(input, "input", moves);
    const to = output && describe(output, "output", moves);
    const { code, dtype } = from ?? to;
    const { code: opCode, factor } = operation(op, dtype);
    const whole = (tensor) => (tensor ? [tensor.buffer, tensor.byteOffset, tensor.bytes] : [null, 0, 0]);
    this.#used.push(from?.cuda, to?.cuda);
    // NCCL checks nothing: every element that the call will touch must be there.
    for (const [tensor, factorOfSize] of [
      [from, kind === "reduceScatter" ? this.size : 1],
      [to, kind === "allGather" ? this.size : 1],
    ]) {
      if (tensor && factorOfSize && tensor.count < count * factorOfSize) {
        throw new RangeError(`${kind}: a tensor has ${tensor.count} elements, and ${count * factorOfSize} are needed`);
      }
    }
    this.#native.run(
      KINDS[kind],
      ...whole(from),
      ...whole(to),
      count,
      code,
      opCode,
      peer,
      factor,
      Stream.handle(stream),
    );
  }
}

/** @throws RangeError if `root` is no rank. `name` is the argument's. */
export function checkRoot(root, size, name = "root") {
  if (!Number.isInteger(root) || root < 0 || (size !== null && root >= size)) throw new RangeError(`invalid ${name}`);
}

export async function initRank(size, id, rank, { device = 0, signal, ...config } = {}) {
  if (!(id instanceof Uint8Array) || id.length !== UNIQUE_ID_BYTES) {
    throw new RangeError(`a unique id has ${UNIQUE_ID_BYTES} bytes, got ${id?.length ?? typeof id}`);
  }
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`the number of ranks is ${size}`);
  checkRoot(rank, size, "rank");
  signal?.throwIfAborted();
  // Opening the driver takes long; here it is not the event loop that waits.
  await load();
  signal?.throwIfAborted();
  const { communicator, ready } = native().initRank(size, id, rank, device, config);
  const onAbort = () => communicator.abort(String(signal.reason?.message ?? signal.reason));
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await ready;
  } catch (error) {
    communicator.dispose();
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  return new Communicator(communicator, { rank, size, device });
}

export async function initAll(devices) {
  await load();
  const handles = await native().initAll(devices);
  return handles.map((handle, rank) => new Communicator(handle, { rank, size: devices.length, device: devices[rank] }));
}
