/**
 * NCCL and CUDA memory for Node and Deno. index.d.ts says what each thing is. The addon is loaded at first use, and the two
 * libraries at first use of theirs, so importing this package never fails.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);

/** Where the addon may be: what was built here goes before what came with the package. */
const PLACES = ["build/release/webccl_nccl.node", `prebuilt/${process.platform}-${process.arch}/webccl_nccl.node`];

let loaded = null;

function native() {
  if (loaded) return loaded;
  const chosen = process.env.WEBCCL_NCCL_ADDON;
  const paths = chosen ? [chosen] : PLACES.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (!path) {
    throw new Error(
      `the addon of @webccl/nccl is not there (${paths.join(", ")}): run "npm run build:native" in the package's folder, ` +
        "which needs a C++17 compiler and nothing else",
    );
  }
  loaded = require(path);
  return loaded;
}

const DTYPES = { i8: 0, u8: 1, i32: 2, u32: 3, i64: 4, u64: 5, f16: 6, f32: 7, f64: 8, bf16: 9 };
const BYTES = { i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, i64: 8, u64: 8, f16: 2, bf16: 2, f32: 4, f64: 8 };
const OPS = { sum: 0, product: 1, max: 2, min: 3, avg: 4 };
const KINDS = { allReduce: 0, reduce: 1, broadcast: 2, allGather: 3, reduceScatter: 4, send: 5, recv: 6 };

export const UNIQUE_ID_BYTES = 128;

export function version() {
  const code = native().version();
  return [Math.floor(code / 10_000), Math.floor((code % 10_000) / 100), code % 100];
}

export function versionSuffix() {
  return "";
}

export function libraryPath() {
  return native().libraryPath();
}

export function errorString(code) {
  return native().errorString(code);
}

export async function load() {
  return native().load();
}

export async function getUniqueId() {
  return native().getUniqueId();
}

export async function devices() {
  return (await load()).devices;
}

export async function deviceCount() {
  return (await load()).devices.length;
}

export function alive() {
  return native().alive();
}

export class DeviceBuffer {
  #native;
  #disposed = false;

  constructor(byteLength, { device = 0, lazy = false } = {}) {
    this.#native = new (native().DeviceBuffer)(byteLength, device, lazy);
    this.byteLength = byteLength;
    this.device = device;
  }

  get pointer() {
    return this.#native.pointer;
  }

  get disposed() {
    return this.#disposed;
  }

  async copyFrom(host, byteOffset = 0) {
    await this.#native.copyFrom(host, byteOffset);
    return held(host);
  }

  async copyTo(host, byteOffset = 0) {
    await this.#native.copyTo(host, byteOffset);
    return held(host);
  }

  dispose() {
    this.#disposed = true;
    this.#native.dispose();
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.dispose();
  }

  static handle(buffer) {
    if (!(buffer instanceof DeviceBuffer)) throw new TypeError("a DeviceBuffer of @webccl/nccl is needed");
    return buffer.#native;
  }
}

/** Keeps `host` reachable up to here: the device reads or writes it meanwhile. */
function held(host) {
  return void host;
}

export class Event {
  #native;
  constructor({ device = 0 } = {}) {
    this.#native = new (native().Event)(device);
  }
  query() {
    return this.#native.query();
  }
  elapsedMs(later) {
    return this.#native.elapsedMs(later.#native);
  }
  static handle(event) {
    return event.#native;
  }
}

export class Stream {
  #native;
  constructor({ device = 0, highPriority = false } = {}) {
    this.#native = new (native().Stream)(device, highPriority);
    this.device = device;
  }
  synchronize() {
    return this.#native.synchronize();
  }
  record(event = new Event({ device: this.device })) {
    this.#native.record(Event.handle(event));
    return event;
  }
  wait(event) {
    this.#native.wait(Event.handle(event));
  }
  static handle(stream) {
    return stream ? stream.#native : null;
  }
}

/** Dtype, count and place of a tensor; `movable` allows dtypes that NCCL moves as bytes alone. */
function describe(tensor, name, movable = false) {
  const { cuda, dtype, byteOffset = 0 } = tensor ?? {};
  if (!(cuda instanceof DeviceBuffer)) {
    throw new TypeError(`expected Tensor at ${name} (got ${tensor === null ? "null" : typeof tensor})`);
  }
  const width = BYTES[dtype];
  if (width === undefined) throw new TypeError(`${name}: ${dtype} is not a dtype`);
  const { count = Math.floor((cuda.byteLength - byteOffset) / width) } = tensor;
  if (!(dtype in DTYPES) && !movable) throw new TypeError(`${name}: NCCL has no ${dtype}`);
  const asBytes = !(dtype in DTYPES);
  return {
    cuda,
    buffer: DeviceBuffer.handle(cuda),
    byteOffset,
    bytes: count * width,
    dtype,
    code: asBytes ? DTYPES.u8 : DTYPES[dtype],
    count: asBytes ? count * width : count,
  };
}

const FACTORS = {
  i8: Int8Array,
  u8: Uint8Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  f32: Float32Array,
  f64: Float64Array,
};

/** One element of the dtype, as bytes. */
function factorBytes(dtype, factor) {
  if (dtype === "f16") return new Uint8Array(Uint16Array.of(halfBits(Number(factor))).buffer);
  if (dtype === "bf16") {
    const bits = new Uint32Array(Float32Array.of(Number(factor)).buffer)[0];
    return new Uint8Array(Uint16Array.of((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16).buffer);
  }
  const big = dtype === "i64" || dtype === "u64";
  return new Uint8Array(FACTORS[dtype].of(big ? BigInt(factor) : Number(factor)).buffer);
}

/** Nearest f16, ties to even. */
function halfBits(value) {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(magnitude || 1e-9)), -14);
  const units = magnitude / 2 ** (exponent - 10);
  const whole = Math.floor(units);
  const rest = units - whole;
  const rounded = rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole;
  return sign | ((exponent + 14) * 1024 + rounded);
}

/** An operation: the code of one that NCCL has, one made by createPreMulSum, or a factor for this call alone. */
function operation(op, dtype) {
  if (typeof op === "number") return { code: op, factor: null };
  if (typeof op === "object" && op !== null) return { code: 0, factor: factorBytes(dtype, op.factor) };
  if (!(op in OPS)) throw new TypeError(`NCCL has no operation ${String(op)}: use ${Object.keys(OPS).join(", ")}`);
  return { code: OPS[op], factor: null };
}

export class Communicator {
  #native;
  /** What calls that are not flushed yet use. */
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

function checkRoot(root, size, name = "root") {
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

// ---- torch.cuda.nccl's calls over lists: one tensor, stream and communicator for each device

const cliques = new Map();

/** The communicators of the devices that the tensors are on, made once for each list of devices. */
function cliqueOf(tensors) {
  const devices = tensors.map(({ cuda }) => cuda.device);
  const key = devices.join();
  if (!cliques.has(key)) {
    const clique = initAll(devices);
    clique.catch(() => cliques.delete(key));
    cliques.set(key, clique);
  }
  return cliques.get(key);
}

async function onAll(inputs, { streams, communicators }, call) {
  if (!Array.isArray(inputs) || inputs.length === 0)
    throw new TypeError("inputs must be a list of at least one tensor");
  inputs.forEach((tensor, i) => {
    describe(tensor, String(i), true);
  });
  if (streams && streams.length !== inputs.length)
    throw new RangeError("number of streams is not equal to number of inputs");
  if (communicators && communicators.length !== inputs.length) {
    throw new RangeError("number of communicators is not equal to number of inputs");
  }
  const all = communicators ?? (await cliqueOf(inputs));
  all.forEach((communicator, i) => {
    call(communicator, i, streams?.[i] ?? null);
  });
  await Promise.all(all.map((communicator) => communicator.flush()));
}

function checkOutputs(outputs, inputs) {
  if (outputs.length !== inputs.length) throw new RangeError("number of outputs is not equal to number of inputs");
}

export async function allReduce(inputs, { outputs = inputs, op = "sum", ...options } = {}) {
  checkOutputs(outputs, inputs);
  await onAll(inputs, options, (communicator, i, stream) => communicator.allReduce(outputs[i], inputs[i], op, stream));
}

export async function reduce(inputs, { output = inputs[0], root = 0, op = "sum", ...options } = {}) {
  checkRoot(root, inputs.length);
  await onAll(inputs, options, (communicator, i, stream) => communicator.reduce(output, inputs[i], root, op, stream));
}

export async function broadcast(tensors, { root = 0, ...options } = {}) {
  checkRoot(root, tensors.length);
  await onAll(tensors, options, (communicator, i, stream) =>
    communicator.broadcast(tensors[i], tensors[i], root, stream),
  );
}

export async function allGather(inputs, outputs, options = {}) {
  checkOutputs(outputs, inputs);
  await onAll(inputs, options, (communicator, i, stream) => communicator.allGather(outputs[i], inputs[i], stream));
}

export async function reduceScatter(inputs, outputs, { op = "sum", ...options } = {}) {
  checkOutputs(outputs, inputs);
  await onAll(inputs, options, (communicator, i, stream) =>
    communicator.reduceScatter(outputs[i], inputs[i], op, stream),
  );
}
