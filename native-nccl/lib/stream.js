/** Streams of a CUDA device, and events in them. */
import { native } from "./addon.js";

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
