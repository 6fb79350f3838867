/** Memory of a CUDA device. */
import { native } from "./addon.js";

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
