/** One rank's communicator. */
import { native } from "./addon.js";
import { checkRoot, planCall } from "./call.js";
import { load, UNIQUE_ID_BYTES } from "./library.js";
import { checkDtype, factorBytes } from "./operation.js";
import { DTYPES, describe, typeName } from "./tensor.js";

export class Communicator {
  #native;
  /** The memory in use by calls that are not flushed yet. */
  #used = [];
  /** Why it takes no more calls, or null. */
  #ended = null;
  /** The dtypes of the operations that createPreMulSum made. */
  #made = new Map();

  constructor(handle, { rank, size, device }) {
    this.#native = handle;
    this.rank = rank;
    this.size = size;
    this.device = device;
  }

  allReduce(output, input, op = "sum", stream = null) {
    this.#run("allReduce", { input, output, op, stream });
  }

  reduce(output, input, root, op = "sum", stream = null) {
    checkRoot(root, this.size);
    this.#run("reduce", { input, output, op, peer: root, stream });
  }

  broadcast(output, input, root, stream = null) {
    checkRoot(root, this.size);
    const source = (this.rank === root && input) || output;
    this.#run("broadcast", { input: source, output, peer: root, stream });
  }

  allGather(output, input, stream = null) {
    this.#run("allGather", { input, output, stream });
  }

  reduceScatter(output, input, op = "sum", stream = null) {
    this.#run("reduceScatter", { input, output, op, stream });
  }

  send(input, peer, stream = null) {
    checkRoot(peer, this.size, "peer");
    this.#run("send", { input, peer, stream });
  }

  recv(output, peer, stream = null) {
    checkRoot(peer, this.size, "peer");
    this.#run("recv", { output, peer, stream });
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
    const to = describe(output, true);
    this.#used.push(host, to.cuda);
    this.#native.copyIn(to.buffer, to.byteOffset, host);
  }

  copyOut(host, input) {
    const from = describe(input, true);
    this.#used.push(host, from.cuda);
    this.#native.copyOut(host, from.buffer, from.byteOffset);
  }

  copyWithin(output, input) {
    const to = describe(output, true);
    const from = describe(input, true);
    this.#used.push(to.cuda, from.cuda);
    this.#native.copyWithin(to.buffer, to.byteOffset, from.buffer, from.byteOffset, from.bytes);
  }

  async flush() {
    const used = this.#used;
    this.#used = [];
    try {
      await this.#native.flush();
    } catch (error) {
      this.#ended ??= error.message;
      throw error;
    } finally {
      used.length = 0;
    }
  }

  abort(reason = "the communicator was aborted") {
    this.#ended ??= String(reason);
    this.#native.abort(String(reason));
  }

  getAsyncError() {
    return this.#native.asyncError();
  }

  async split(color, key = this.rank) {
    const made = await this.#native.split(color ?? -1, key);
    return made && new Communicator(made.communicator, { rank: made.rank, size: made.size, device: this.device });
  }

  async createPreMulSum(factor, dtype) {
    checkDtype(dtype, this.device);
    const op = await this.#native.createPreMulSum(factorBytes(dtype, factor), DTYPES[dtype]);
    this.#made.set(op, dtype);
    return op;
  }

  destroyRedOp(op) {
    this.#made.delete(op);
    this.#native.destroyRedOp(op);
  }

  dispose() {
    this.#ended ??= "it was disposed";
    return this.#native.dispose();
  }

  #run(kind, tensors) {
    Communicator.launch(this, Communicator.plan(this, kind, tensors));
  }

  /** For calls over lists, which check the parts of all communicators before they launch the first. */
  static plan(communicator, kind, tensors, at) {
    const { rank, size, device } = communicator;
    return planCall(kind, { rank, size, device, made: communicator.#made }, tensors, at);
  }

  static launch(communicator, { used, addonArguments }) {
    communicator.#used.push(...used);
    communicator.#native.run(...addonArguments);
  }

  /** Why it takes no more calls, or null. */
  static ended(communicator) {
    return communicator.#ended;
  }
}

export async function initRank(size, id, rank, { device = 0, signal, ...config } = {}) {
  if (!(id instanceof Uint8Array)) {
    throw new TypeError(`invalid unique_id (expected ${UNIQUE_ID_BYTES} bytes, got ${typeName(id)})`);
  }
  if (id.length !== UNIQUE_ID_BYTES) {
    throw new RangeError(`invalid unique_id (expected ${UNIQUE_ID_BYTES} bytes, got ${id.length} bytes)`);
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
