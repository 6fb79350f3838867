/**
 * One GPUDevice as webccl uses it: commands in order, memory that is used again, faults. All executors on a device share it,
 * so their commands run in the order in which they came, and one may copy from another's spans.
 *
 * Commands are kept until the current microtask's work is done and then submitted together, inside one error scope: a scope
 * that stayed open across an await would catch the user's errors as well.
 */

import { type Command, type GpuStats, submitBatch } from "./batch.ts";
import { ParameterRing } from "./kernels/parameters.ts";
import { Pipelines } from "./kernels/pipelines.ts";
import { DeviceLoss } from "./loss.ts";
import { BufferPool } from "./memory/pool.ts";
import { Readbacks } from "./memory/readbacks.ts";
import { GPUBufferUsage } from "./usage.ts";

const MEBIBYTE = 2 ** 20;
const IDLE_SCRATCH_BYTES = 256 * MEBIBYTE;
const IDLE_STAGING_BYTES = 64 * MEBIBYTE;

const devices = new WeakMap<GPUDevice, GpuDevice>();

/**
 * One executor among those that share a device. A command that fails may spoil what others read from its buffers, so every
 * user that has asked for work is told of the failure when its work is settled.
 */
export interface DeviceUser {
  readonly device: GpuDevice;
  /** It has asked for work since it last settled. */
  isBusy: boolean;
  /** How many times it waits for its work to settle. */
  settling: number;
  failure: unknown;
}

/** See the file's head. */
export class GpuDevice {
  readonly device: GPUDevice;
  readonly pipelines: Pipelines;
  readonly parameters: ParameterRing;
  readonly scratch: BufferPool;
  readonly staging: BufferPool;
  readonly readbacks: Readbacks;
  readonly stats: GpuStats = {
    ...{ mapAsyncCalls: 0, mostMapsInFlight: 0, bytesRead: 0, bytesWritten: 0 },
    ...{ submits: 0, dispatches: 0, liveBuffers: 0 },
  };

  readonly #users = new Set<DeviceUser>();
  #commands: Command[] = [];
  #touched = new Set<GPUBuffer>();
  #flushed: Promise<void> | null = null;
  /** Error scopes whose answer is not in. */
  readonly #scopes = new Set<Promise<void>>();
  readonly #loss: DeviceLoss;
  /** Buffers whose memory could not be had. */
  readonly #unusable = new WeakSet<GPUBuffer>();
  /** Buffers to destroy once the commands that use them are submitted. */
  #doomed: GPUBuffer[] = [];
  #probe: GPUBuffer | null = null;
  #generation = 0;
  #sequence = 0;

  /** The one of `device`. */
  static of(device: GPUDevice): GpuDevice {
    let known = devices.get(device);
    if (!known) {
      known = new GpuDevice(device);
      devices.set(device, known);
    }
    return known;
  }

  private constructor(device: GPUDevice) {
    this.device = device;
    this.pipelines = new Pipelines(device);
    const pool = (usage: number, idleBytes: number) =>
      new BufferPool({
        idleBytes,
        create: (bytes) => this.createBuffer(bytes, usage),
        createUnwatched: (bytes) => this.#createUnwatched(bytes, usage),
        destroy: (buffer) => this.destroyBuffer(buffer),
        isUsable: (buffer) => !this.#unusable.has(buffer),
      });
    this.scratch = pool(GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST, IDLE_SCRATCH_BYTES);
    this.staging = pool(GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST, IDLE_STAGING_BYTES);
    this.parameters = new ParameterRing(this);
    this.readbacks = new Readbacks(this);
    this.#loss = new DeviceLoss(device);
  }

  /** One user more; {@link GpuDevice.leave} is its end. */
  join(): DeviceUser {
    const user: DeviceUser = { device: this, isBusy: false, settling: 0, failure: null };
    this.#users.add(user);
    return user;
  }

  /** Changes with every command that writes: bytes that were read before are out of date from then on. */
  get generation(): number {
    return this.#generation;
  }

  /** Counts commands, writes and submits. */
  get sequence(): number {
    return this.#sequence;
  }

  /** A buffer of our own. If there is no memory for it, idle buffers are let go and its users fail. */
  createBuffer(bytes: number, usage: number): GPUBuffer {
    const { device } = this;
    device.pushErrorScope("out-of-memory");
    device.pushErrorScope("validation");
    const buffer = this.#createUnwatched(bytes, usage);
    for (let i = 0; i < 2; i++) {
      this.#scope(device.popErrorScope(), ({ message }) => {
        this.#unusable.add(buffer);
        this.evict();
        return new RangeError(`no GPU memory for a buffer of ${bytes} bytes: ${message}`);
      });
    }
    return buffer;
  }

  #createUnwatched(bytes: number, usage: number): GPUBuffer {
    this.stats.liveBuffers++;
    return this.device.createBuffer({ size: bytes, usage });
  }

  destroyBuffer(buffer: GPUBuffer): void {
    this.stats.liveBuffers--;
    if (this.#touched.has(buffer)) this.#doomed.push(buffer);
    else buffer.destroy();
  }

  /** Lets all idle buffers go. */
  evict(): void {
    this.scratch.evict();
    this.staging.evict();
  }

  /** Queues a command; it is submitted with the others of this microtask's work. */
  push(command: Command, writes = true): void {
    this.#sequence++;
    this.#commands.push(command);
    for (const buffer of command.buffers) this.#touched.add(buffer);
    if (writes) this.#generation++;
    this.#flushed ??= Promise.resolve().then(() => this.flush());
  }

  /** Withdraws the last `count` commands, which must still be queued: `sequence` tells that nothing came after them. */
  withdraw(count: number): void {
    this.#commands.length -= count;
  }

  /** Resolves when everything queued so far is submitted. */
  get submitted(): Promise<void> {
    return this.#flushed ?? Promise.resolve();
  }

  /** Submits everything queued so far. */
  flush(): void {
    this.#flushed = null;
    const commands = this.#commands;
    if (commands.length === 0) return;
    this.#commands = [];
    this.#sequence++;
    if (this.#loss.error) return;
    const { device } = this;
    device.pushErrorScope("validation");
    try {
      for (let at = 0; at < commands.length; ) {
        at = submitBatch(device, commands, at, this.parameters, this.readbacks.timer);
        this.stats.submits++;
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#scope(device.popErrorScope(), ({ message }) => unusable(message));
    this.#touched.clear();
    for (const buffer of this.#doomed.splice(0)) buffer.destroy();
  }

  /** Writes into a buffer, after all commands so far that use it. `bytes` are taken at once; whole words only. */
  write(buffer: GPUBuffer, byteOffset: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#touched.has(buffer)) this.flush();
    this.#generation++;
    this.#sequence++;
    if (this.#loss.error) return;
    this.device.pushErrorScope("validation");
    this.device.queue.writeBuffer(buffer, byteOffset, bytes);
    this.#scope(this.device.popErrorScope(), ({ message }) => unusable(message));
    this.stats.bytesWritten += bytes.byteLength;
  }

  /** `promise`, or a rejection as soon as the device is lost. */
  orLost<T>(promise: Promise<T>): Promise<T> {
    return this.#loss.or(promise);
  }

  /** The loss of the device, if it caused `error`. */
  lossBehind(error: unknown): Promise<unknown> {
    return this.#loss.behind(error);
  }

  /** Resolves when the faults of all that was submitted so far are known. */
  async answers(): Promise<void> {
    if (this.#scopes.size > 0) await this.orLost(Promise.all([...this.#scopes]));
  }

  /** Resolves when the device has done all that was queued so far; rejects, once for each user, with a failure of that time. */
  async settled(user: DeviceUser): Promise<void> {
    this.flush();
    const sequence = this.#sequence;
    user.isBusy = false;
    user.settling++;
    try {
      await this.orLost(this.device.queue.onSubmittedWorkDone() as Promise<unknown>);
      if (sequence === this.#sequence) this.readbacks.timer?.forget();
      await this.answers();
    } finally {
      user.settling--;
    }
    const { failure } = user;
    user.failure = null;
    if (this.#loss.error) throw this.#loss.error;
    if (failure) throw failure;
  }

  /**
   * Asks the device whether it can use these buffers.
   * @throws TypeError if one belongs to another device or is destroyed.
   */
  async vouch(buffers: readonly GPUBuffer[]): Promise<void> {
    if (this.#loss.error) throw this.#loss.error;
    const { device } = this;
    // A buffer for nothing else: one from the pool may be in use by commands that are not submitted yet.
    this.#probe ??= this.createBuffer(4, GPUBufferUsage.COPY_DST);
    const probe = this.#probe;
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder();
    for (const buffer of buffers) encoder.copyBufferToBuffer(buffer, 0, probe, 0, Math.min(4, buffer.size));
    device.queue.submit([encoder.finish()]);
    const error = await this.orLost(device.popErrorScope());
    if (error) throw await this.lossBehind(unusable(error.message));
  }

  throwIfFailed({ failure }: DeviceUser): void {
    if (this.#loss.error) throw this.#loss.error;
    if (failure) throw failure;
  }

  /** One user less. As the last one leaves, all idle buffers are destroyed; compiled kernels stay as long as the device. */
  leave(user: DeviceUser): void {
    this.flush();
    this.#users.delete(user);
    if (this.#users.size > 0) return;
    this.evict();
    this.parameters.destroy();
    if (this.#probe) this.destroyBuffer(this.#probe);
    this.#probe = null;
  }

  #scope(answer: Promise<GPUError | null>, toError: (error: GPUError) => unknown): void {
    const done: Promise<void> = answer
      .then(
        (error) => {
          if (error) this.#fail(toError(error));
        },
        () => {}, // A lost device answers nothing; `device.lost` does.
      )
      .finally(() => this.#scopes.delete(done));
    this.#scopes.add(done);
  }

  #fail(error: unknown): void {
    for (const user of this.#users) if (user.isBusy || user.settling > 0) user.failure ??= error;
  }
}

function unusable(message: string): TypeError {
  return new TypeError(
    `the GPU device refused a command: a GPUBuffer may belong to another GPUDevice, be destroyed or be mapped. ${message}`,
  );
}
