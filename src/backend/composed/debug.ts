/**
 * DebugBackend: watches the calls of another backend. WEBCCL_DEBUG=DETAIL puts it around the backend of every group. It sends
 * nothing, so ranks may have it or not.
 *
 *   - It logs each call, with the hash of its tensors before and after (`hashTensors`): ranks whose results should be the same
 *     can be compared by eye.
 *   - A MismatchError says where in the program this rank made its call.
 *   - It warns of an input that changed while the call ran, and must not have.
 */
import { MismatchError, type WebcclError } from "../../errors.ts";
import { PLAIN_XXH64 } from "../../executor/checksum/plain-xxh64.ts";
import { TensorHash } from "../../executor/checksum/tensor-hash.ts";
import { type Request, tensorsOf } from "../../request.ts";
import { textOf } from "../../support/thrown.ts";
import { overlapOf, type TensorView } from "../../tensor/view.ts";
import type { Collective } from "../../types.ts";
import type { Checksums } from "../../wire/checksum.ts";
import type { Backend, BackendContext, BackendTraffic, Call, PersistentRun, SatOut } from "../backend.ts";
import { backendOf } from "./checked-backend.ts";

/** Frames of the caller's stack in an error. */
const MOST_FRAMES = 5;
/** Frames to look at: those of webccl come first. */
const STACK_DEPTH = 40;

/** A call that is watched. */
interface Watched {
  /** "allReduce 3". */
  readonly name: string;
  readonly tensors: readonly TensorView[];
  /** Those that the call only reads. */
  readonly inputs: readonly TensorView[];
  readonly inputsBefore: bigint | Promise<bigint>;
  readonly frames: readonly string[];
}

/** See the file's head. */
export class DebugBackend implements Backend {
  readonly name: string;
  /** The backend around which this one is, as its maker returned it. */
  readonly given: Backend;
  readonly lacks: readonly Collective[];
  readonly #inner: Backend;
  readonly persist?: (request: Request, call: Call) => PersistentRun;
  readonly #context: BackendContext;
  readonly #hash: TensorHash;

  /** @throws TypeError if `given` lacks methods. */
  constructor(given: Backend, context: BackendContext, sums: Checksums = PLAIN_XXH64) {
    this.name = given.name;
    this.#inner = backendOf(given);
    this.given = (given as { readonly given?: Backend }).given ?? given;
    this.lacks = given.lacks ?? [];
    this.#context = context;
    this.#hash = new TensorHash(sums, context.device);
    if (given.persist) this.persist = (request, call) => this.#persist(request, call);
  }

  get traffic(): BackendTraffic | undefined {
    return this.#inner.traffic;
  }

  waitingFor(sequence: number): readonly number[] {
    return this.#inner.waitingFor?.(sequence) ?? [];
  }

  run(request: Request, call: Call): ReturnType<Backend["run"]> {
    const { collective } = request;
    const inputs = inputsOf(request, this.#context.rank);
    return this.#watch(collective, call, tensorsOf(request), inputs, () => this.#inner.run(request, call));
  }

  numbers(request: Request): number {
    return this.#inner.numbers?.(request) ?? 1;
  }

  sitOut(sequence: number, collective: Collective, reason: Error, request: Request): SatOut {
    this.#context.logger.debug(`${collective} ${sequence} is not made: ${reason.message}`);
    return this.#inner.sitOut(sequence, collective, reason, request);
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#inner.stragglers(sequence);
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#inner.withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    this.#context.logger.debug(`the group is aborted: ${cause.message}`);
    this.#inner.abort(cause);
  }

  dispose(): Promise<void> {
    return this.#inner.dispose();
  }

  /** The making touches no tensor. */
  #persist(request: Request, call: Call): PersistentRun {
    const { collective } = request;
    const tensors = tensorsOf(request);
    const inputs = inputsOf(request, this.#context.rank);
    let planned: PersistentRun | undefined;
    const made = this.#watch(collective, call, [], [], () => {
      planned = this.#inner.persist!(request, call);
      return planned.made;
    });
    return { made, start: (next) => this.#watch(collective, next, tensors, inputs, () => planned!.start(next)) };
  }

  #watch(
    collective: Collective,
    { sequence }: Call,
    tensors: readonly TensorView[],
    inputs: readonly TensorView[],
    run: () => ReturnType<Backend["run"]>,
  ): ReturnType<Backend["run"]> {
    const name = `${collective} ${sequence}`;
    const frames = callersFrames();
    const watched = { name, tensors, inputs, inputsBefore: this.#hash.of(inputs), frames };
    this.#tell(`${name}${sizesOf(tensors)} begins`, this.#hash.of(tensors), frames[0] ?? "");
    const running = run();
    // The Work of a user's own backend is what the caller asks.
    if (running && running.constructor !== Promise) {
      running.then(
        () => this.#ended(watched),
        (error) => this.#failed(watched, error),
      );
      return running;
    }
    if (running) return this.#followed(running, watched);
    const ended = this.#ended(watched);
    return ended?.then(() => undefined);
  }

  async #followed(running: Promise<number | undefined>, watched: Watched): Promise<number | undefined> {
    let source: number | undefined;
    try {
      source = await running;
    } catch (error) {
      throw this.#failed(watched, error);
    }
    await this.#ended(watched);
    return source;
  }

  /** The call has ended well. A promise if tensors must be read first. */
  #ended({ name, tensors, inputs, inputsBefore }: Watched): Promise<void> | undefined {
    const compare = (before: bigint, after: bigint) => {
      if (before === after) return;
      this.#context.logger.warn(
        `${name}: an input of it changed while it ran: leave tensors alone until the Work has ended`,
      );
    };
    const [after, inputsAfter] = [this.#hash.of(tensors), this.#hash.of(inputs)];
    this.#tell(`${name} ends`, after);
    if (typeof inputsBefore === "bigint" && typeof inputsAfter === "bigint") {
      compare(inputsBefore, inputsAfter);
      return undefined;
    }
    // Of a GPUBuffer that was destroyed there is nothing to compare.
    return Promise.all([inputsBefore, inputsAfter, after]).then(
      ([before, now]) => compare(before, now),
      (error) => this.#context.logger.debug(`${name}: its tensors cannot be read: ${textOf(error)}`),
    );
  }

  /** The error that the caller gets. */
  #failed({ name, frames }: Watched, error: unknown): unknown {
    this.#context.logger.debug(`${name} fails: ${textOf(error)}`);
    if (!(error instanceof MismatchError) || frames.length === 0) return error;
    const place = `rank ${this.#context.rank} made ${name} here:\n${frames.join("\n")}`;
    // Where the error names this level (messaging/mismatch-errors.ts), it says of the level what now follows.
    const message = error.message.replace(/ \(WEBCCL_DEBUG=DETAIL[^)]*\)$/, "");
    return new MismatchError(`${message}\n${place}`, { ...error.details, cause: error });
  }

  #tell(text: string, hash: bigint | Promise<bigint>, place = ""): void {
    const { logger } = this.#context;
    const told = (sum: bigint) =>
      logger.debug(`${text}, hash ${sum.toString(16).padStart(16, "0")}${place && ` ${place.trim()}`}`);
    if (typeof hash === "bigint") told(hash);
    else hash.then(told, (error) => logger.debug(`${text}; its tensors cannot be read: ${textOf(error)}`));
  }
}

/** The tensors that the call only reads on this rank; not those that lie where it writes. */
function inputsOf(request: Request, rank: number): TensorView[] {
  const outputs: TensorView[] = [];
  if ("output" in request) outputs.push(request.output);
  if ("outputs" in request) outputs.push(...(request.outputs ?? []));
  const inputs: TensorView[] = [];
  if ("input" in request) inputs.push(request.input);
  if ("inputs" in request) inputs.push(...(request.inputs ?? []));
  const { collective } = request;
  if (collective === "send" || (collective === "broadcast" && request.root === rank)) inputs.push(request.tensor);
  if (collective === "reduce" && request.root !== rank) inputs.push(request.tensor);
  return inputs.filter((input) => !outputs.some((output) => overlapOf(input, output)));
}

/** " (f32 × 5, i32 × 2)". */
function sizesOf(tensors: readonly TensorView[]): string {
  return tensors.length === 0 ? "" : ` (${tensors.map(({ dtype, count }) => `${dtype} × ${count}`).join(", ")})`;
}

/** Where webccl's own modules are: the folder of src or dist; the module itself where they are bundled. */
const HOME = import.meta.url.replace(/backend\/composed\/[^/]*$/, "");

/** The frames of the program on the stack, without webccl's own, if there are any. */
function callersFrames(): string[] {
  // Engines that have it cut the stack at ten frames, of which most are webccl's.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = STACK_DEPTH;
  const { stack = "" } = new Error("a call");
  Error.stackTraceLimit = stackTraceLimit;
  const frames = stack.split("\n").filter((line) => /:\d+:\d+/.test(line));
  const callers = frames.filter((line) => !line.includes(HOME) && !line.includes(new URL(HOME).pathname));
  return (callers.length > 0 ? callers : frames).slice(0, MOST_FRAMES);
}
