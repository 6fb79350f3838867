/** Calls of `@webccl/nccl` over lists, in one process with several devices. Prints what came out as JSON. */
import * as nccl from "../../../native-nccl/index.js";

const DEVICES = [0, 1, 2];
const COUNT = 6;
type Tensor = nccl.CudaTensor & { cuda: nccl.DeviceBuffer };

async function tensorOn(device: number, values: readonly number[]): Promise<Tensor> {
  const cuda = new nccl.DeviceBuffer(4 * values.length, { device });
  await cuda.copyFrom(Int32Array.from(values));
  return { cuda, dtype: "i32", count: values.length };
}

async function contents({ cuda }: Tensor): Promise<number[]> {
  const host = new Int32Array(cuda.byteLength / 4);
  await cuda.copyTo(host);
  return [...host];
}

const filled = (count: number, value: number) => new Array<number>(count).fill(value);

/** The arguments of one call. */
interface Arguments {
  inputs: unknown;
  outputs?: unknown;
  options: Record<string, unknown>;
}

/** A kind of call, with arguments that are right, and how many of its tensors are large enough for each. */
interface Call {
  readonly reduces: boolean;
  readonly hasRoot: boolean;
  readonly inputCount: number;
  /** 0 where it has no list of outputs. */
  readonly outputCount: number;
  run(args: Arguments): Promise<void>;
  /** The first element of each device's result, of inputs that are 1, 2 and 3. */
  readonly result: readonly number[];
}

// biome-ignore lint/suspicious/noExplicitAny: wrong arguments are what this is for
const untyped = nccl as any;
const BY_OUTPUTS = { reduces: true, hasRoot: false, inputCount: COUNT, outputCount: COUNT };
const CALLS: Record<string, Call> = {
  allReduce: {
    ...BY_OUTPUTS,
    run: ({ inputs, outputs, options }) => untyped.allReduce(inputs, { outputs, ...options }),
    result: [6, 6, 6],
  },
  reduce: {
    ...{ reduces: true, hasRoot: true, inputCount: COUNT, outputCount: 0 },
    run: ({ inputs, options }) => untyped.reduce(inputs, { root: 1, ...options }),
    result: [1, 6, 3],
  },
  broadcast: {
    ...{ reduces: false, hasRoot: true, inputCount: COUNT, outputCount: 0 },
    run: ({ inputs, options }) => untyped.broadcast(inputs, { root: 2, ...options }),
    result: [3, 3, 3],
  },
  allGather: {
    ...{ reduces: false, hasRoot: false, inputCount: COUNT, outputCount: 3 * COUNT },
    run: ({ inputs, outputs, options }) => untyped.allGather(inputs, outputs, options),
    result: [1, 1, 1],
  },
  reduceScatter: {
    ...{ reduces: true, hasRoot: false, inputCount: 3 * COUNT, outputCount: COUNT },
    run: ({ inputs, outputs, options }) => untyped.reduceScatter(inputs, outputs, options),
    result: [6, 6, 6],
  },
};

/** Something wrong in the place of a tensor, and the error it must give. */
type Bad = readonly [name: string, make: (good: Tensor, at: number) => unknown, error: RegExp];

const disposed = (device: number) => {
  const cuda = new nccl.DeviceBuffer(4 * 3 * COUNT, { device });
  cuda.dispose();
  return cuda;
};
const BAD_TENSORS: readonly Bad[] = [
  ["undefined", () => undefined, /expected Tensor( at AT)? \(got undefined\)/],
  ["null", () => null, /expected Tensor( at AT)? \(got null\)/],
  ["a number", () => 7, /expected Tensor( at AT)? \(got number\)/],
  ["a string", () => "tensor", /expected Tensor( at AT)? \(got string\)/],
  ["an object", () => ({}), /expected Tensor( at AT)? \(got Object\)/],
  ["a host array", () => new Int32Array(COUNT), /expected Tensor( at AT)? \(got Int32Array\)/],
  ["a buffer that is none", (good) => ({ ...good, cuda: { byteLength: 400, device: 0 } }), /expected Tensor/],
  ["a disposed buffer", (good) => ({ ...good, cuda: disposed(good.cuda.device) }), /its DeviceBuffer was disposed/],
  ["no dtype", ({ cuda }) => ({ cuda }), /undefined is not a dtype/],
  ["an unknown dtype", (good) => ({ ...good, dtype: "f31" }), /f31 is not a dtype/],
  ["a name of Object's", (good) => ({ ...good, dtype: "toString" }), /toString is not a dtype/],
  ["another dtype", (good) => ({ ...good, dtype: "u32" }), /u32/],
  ["a narrower dtype", (good) => ({ ...good, dtype: "u8" }), /u8/],
  ["an offset below 0", (good) => ({ ...good, byteOffset: -4 }), /byteOffset must be a multiple of 4/],
  ["an offset within an element", (good) => ({ ...good, byteOffset: 2 }), /byteOffset must be a multiple of 4/],
  ["an offset that is no number", (good) => ({ ...good, byteOffset: "4" }), /byteOffset must be a multiple of 4/],
  ["an offset past the end", (good) => ({ ...good, byteOffset: 4000 }), /bytes 4000 to \d+ of a DeviceBuffer/],
  ["a count below 0", (good) => ({ ...good, count: -1 }), /count must be a whole number/],
  ["half an element", (good) => ({ ...good, count: 1.5 }), /count must be a whole number/],
  ["a count that is none", (good) => ({ ...good, count: Number.NaN }), /count must be a whole number/],
  ["a count past the end", (good) => ({ ...good, count: 1000 }), /bytes 0 to 4000 of a DeviceBuffer/],
  ["too few elements", (good) => ({ ...good, count: good.count! - 1 }), /elements/],
];
const elsewhere = new nccl.DeviceBuffer(4 * 3 * COUNT, { device: 3 });
/** Wrong where outputs or communicators say which devices take part; inputs alone may lie on any. */
const ELSEWHERE: Bad = ["on another device", (good) => ({ ...good, cuda: elsewhere }), /on device 3/];
const ONLY_MOVED: Bad = ["i16", (good) => ({ ...good, dtype: "i16" }), /i16/];

const BAD_STREAMS: readonly Bad[] = [
  ["undefined", () => 7, /expected Stream or null at AT \(got number\)/],
  ["an object", () => ({}), /expected Stream or null at AT \(got Object\)/],
  ["a stream of another device", () => new nccl.Stream({ device: 3 }), /the Stream at AT is on device 3/],
];
const ONE_LESS = [
  "one less",
  (good: readonly unknown[]) => good.slice(1),
  /is not equal to number of inputs|invalid root|is rank|device/,
] as const;
const BAD_LISTS: readonly [name: string, make: (good: readonly unknown[]) => unknown, error: RegExp][] = [
  ["a number", () => 7, /(expected|comm is not) a sequence/],
  ["an object", () => ({}), /(expected|comm is not) a sequence/],
  ["a string", () => "list", /(expected|comm is not) a sequence/],
  ["nothing in it", () => [], /sequence of at least one|is not equal to number of inputs/],
  ["one more", (good) => [...good, good[0]], /is not equal to number of inputs|unique devices/],
];
const BAD_ROOTS = [-1, 3, 0.5, Number.NaN, "1", null, {}];
const BAD_OPS: readonly [op: unknown, error: RegExp][] = [
  ["band", /NCCL has no operation band/],
  ["toString", /NCCL has no operation toString/],
  [null, /NCCL has no operation null/],
  [5, /operation 5 was not made by createPreMulSum/],
  [{}, /a factor is a number or a bigint \(got undefined\)/],
  [{ factor: "2" }, /a factor is a number or a bigint \(got string\)/],
  [{ factor: 1.5 }, /needs a whole factor/],
  [{ factor: Number.NaN }, /needs a whole factor/],
];

const report = { refused: 0, wrong: [] as string[] };

/** "resolved", the reason of a rejection, or "pending" after five seconds. */
async function outcomeOf(promise: Promise<void>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const pending = new Promise((resolve) => {
    timer = setTimeout(resolve, 5000, "pending");
  });
  const settled = promise.then(
    () => "resolved",
    (reason: unknown) => reason,
  );
  return Promise.race([settled, pending]).finally(() => clearTimeout(timer));
}

/** The call must be refused with the error, and the same call with right arguments must work afterwards. */
async function refuses(name: string, call: Call, what: string, args: Arguments, error: RegExp): Promise<void> {
  const outcome = await outcomeOf(call.run(args));
  const isRight = (outcome instanceof TypeError || outcome instanceof RangeError) && error.test(outcome.message);
  if (isRight) report.refused++;
  else report.wrong.push(`${name}, ${what}: ${outcome} in place of ${error}`);
}

/** Right arguments, new ones each time. */
async function rightArguments(
  call: Call,
  options: Record<string, unknown> = {},
): Promise<Arguments & { inputs: Tensor[] }> {
  const each = (count: number, value: (device: number) => number) =>
    Promise.all(DEVICES.map((device) => tensorOn(device, filled(count, value(device)))));
  const inputs = await each(call.inputCount, (device) => device + 1);
  if (call.outputCount === 0) return { inputs, options };
  return { inputs, outputs: await each(call.outputCount, () => -1), options };
}

/** Does the call still do what it should, on communicators that were given to refused calls? */
async function works(name: string, call: Call, options: Record<string, unknown>): Promise<void> {
  const args = await rightArguments(call, options);
  const outcome = await outcomeOf(call.run(args));
  const results =
    outcome === "resolved" ? await Promise.all(((args.outputs ?? args.inputs) as Tensor[]).map(contents)) : [];
  const first = results.map(([value]) => value);
  if (first.join() !== call.result.join()) report.wrong.push(`${name} afterwards: ${outcome}, ${first.join()}`);
}

const replaced = (list: readonly unknown[], at: number, value: unknown) =>
  list.map((one, i) => (i === at ? value : one));

async function badLists(): Promise<object> {
  const given = await nccl.initAll(DEVICES);
  const streams = DEVICES.map((device) => new nccl.Stream({ device }));
  const [pair, ended] = [await nccl.initAll([0, 1]), await nccl.initAll(DEVICES)];
  ended[0]!.abort("a test");
  ended[1]!.dispose();
  const badCommunicators: readonly Bad[] = [
    ["a number", () => 7, /expected Communicator at AT \(got number\)/],
    ["null", () => null, /expected Communicator at AT \(got null\)/],
    [
      "another rank's",
      (_, at) => given[(at + 1) % 3],
      /the Communicator at AT is rank \d of 3, and rank AT of 3 is needed/,
    ],
    ["one of two ranks", () => pair[0], /is rank 0 of 2/],
    ["one that was aborted", () => ended[0], /has ended: a test/],
    ["one that was disposed", () => ended[1], /has ended: it was disposed/],
  ];
  for (const [name, call] of Object.entries(CALLS)) {
    for (const communicators of [null, given]) {
      const where = `${name} on ${communicators ? "given" : "cached"} communicators`;
      const right = await rightArguments(call, { communicators });
      const bad = (what: string, change: Partial<Arguments>, error: RegExp) =>
        refuses(where, call, what, { ...right, ...change }, error);
      const badOption = (what: string, change: Record<string, unknown>, error: RegExp) =>
        bad(what, { options: { ...right.options, ...change } }, error);
      const isFree = !communicators && !right.outputs;
      const tensors = [...BAD_TENSORS, ...(call.reduces ? [ONLY_MOVED] : []), ...(isFree ? [] : [ELSEWHERE])];
      const lists = right.outputs ? (["inputs", "outputs"] as const) : (["inputs"] as const);
      for (const at of DEVICES) {
        const withAt = (error: RegExp) => new RegExp(error.source.replaceAll("AT", String(at)));
        for (const list of lists) {
          const good = right[list] as Tensor[];
          for (const [what, make, error] of tensors) {
            await bad(`${list}[${at}] is ${what}`, { [list]: replaced(good, at, make(good[at]!, at)) }, withAt(error));
          }
        }
        for (const [what, make, error] of BAD_STREAMS) {
          await badOption(
            `streams[${at}] is ${what}`,
            { streams: replaced(streams, at, make(right.inputs[0]!, at)) },
            withAt(error),
          );
        }
        for (const [what, make, error] of badCommunicators) {
          const all = replaced(given, at, make(right.inputs[0]!, at));
          await badOption(`communicators[${at}] is ${what}`, { communicators: all }, withAt(error));
        }
        if (name !== "reduce") continue;
        for (const [what, make, error] of tensors) {
          if (what === "undefined" || what === "null") continue;
          const output = make(right.inputs[at]!, at);
          await badOption(`root is ${at}, and output ${what}`, { root: at, output }, withAt(error));
        }
        await badOption(
          `root is ${at}, and output another's`,
          { root: at, output: right.inputs[(at + 1) % 3] },
          /is on device/,
        );
      }
      for (const [what, make, error] of [...BAD_LISTS, ONE_LESS]) {
        for (const list of lists) {
          if (what === "one less" && isFree) continue;
          await bad(`${list} is ${what}`, { [list]: make(right[list] as Tensor[]) }, error);
        }
        await badOption(`streams is ${what}`, { streams: make(streams) }, error);
        await badOption(`communicators is ${what}`, { communicators: make(given) }, error);
      }
      await bad("inputs is null", { inputs: null }, /expected a sequence/);
      if (call.hasRoot)
        for (const root of BAD_ROOTS) await badOption(`root is ${String(root)}`, { root }, /invalid root/);
      if (call.reduces)
        for (const [op, error] of BAD_OPS) await badOption(`op is ${JSON.stringify(op)}`, { op }, error);
      await badOption("an unknown option", { steams: [] }, /has no option steams/);
      await works(where, call, { communicators, streams });
      await works(where, call, { communicators });
    }
  }
  await Promise.all([...given, ...pair, ...ended].map((communicator) => communicator.dispose()));
  return report;
}

/** Rank 1's second call is refused by NCCL itself, when the others wait for it. */
async function failure(): Promise<object> {
  const call = CALLS.allReduce as Call;
  await works("first", call, {});
  const before = nccl.alive().lanes;
  const message = String(await outcomeOf(call.run(await rightArguments(call))));
  await works("third", call, {});
  const given = await nccl.initAll(DEVICES);
  const onGiven = async () => String(await outcomeOf(call.run(await rightArguments(call, { communicators: given }))));
  const outcomes = [await onGiven(), await onGiven(), await onGiven()];
  await Promise.all(given.map((communicator) => communicator.dispose()));
  return { ...report, message, outcomes, moreLanes: nccl.alive().lanes - before };
}

/** What becomes of 8-bit floats, and of a factor, with this NCCL on these devices. */
async function float8(): Promise<object> {
  const outcome = async (call: (tensors: Tensor[]) => Promise<void>, dtype: "f8e4m3" | "f8e5m2" | "i32") => {
    const tensors = await Promise.all(DEVICES.map((device) => tensorOn(device, [0x3838_3838, 0x4040_4040])));
    const typed = tensors.map((tensor) => ({ cuda: tensor.cuda, dtype }));
    return call(typed).then(
      async () => (await contents(tensors[0]!))[0]!.toString(16),
      (reason: Error) => `${reason.name}: ${reason.message}`,
    );
  };
  const [communicator] = await nccl.initAll([0]);
  const made = await communicator!.createPreMulSum(0.3, "f8e5m2").catch((reason: Error) => reason.message);
  await communicator!.dispose();
  return {
    e4m3: await outcome((tensors) => nccl.allReduce(tensors), "f8e4m3"),
    e5m2: await outcome((tensors) => nccl.allReduce(tensors, { op: { factor: 0.5 } }), "f8e5m2"),
    moved: await outcome((tensors) => nccl.broadcast(tensors, { root: 1 }), "f8e4m3"),
    factor: await outcome((tensors) => nccl.allReduce(tensors, { op: { factor: 2 } }), "i32"),
    made,
  };
}

const tasks: Record<string, () => Promise<object>> = { badLists, failure, float8 };
console.log(JSON.stringify(await tasks[process.argv[2] as string]!()));
