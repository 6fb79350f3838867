/**
 * torch.cuda.nccl's calls over lists: one tensor, stream and communicator for each device. Everything is checked before the
 * first device launches, for a device that is launched alone waits for the others for ever.
 */
import { checkRoot, planCall } from "./call.js";
import { Communicator, initAll } from "./communicator.js";
import { load } from "./library.js";
import { describe, typeName } from "./tensor.js";

const cliques = new Map();

/** The communicators of a list of devices, made once for each list and kept until a call on them fails. */
function cliqueOf(devices) {
  const key = devices.join();
  let clique = cliques.get(key);
  if (!clique) {
    const made = initAll(devices);
    clique = { made, forget: () => cliques.get(key) === clique && cliques.delete(key) };
    made.catch(clique.forget);
    cliques.set(key, clique);
  }
  return clique;
}

export async function allReduce(inputs, { outputs = inputs, op = "sum", ...options } = {}) {
  await onAll("allReduce", { inputs, outputs }, { op }, options);
}

export async function reduce(inputs, { output, root = 0, op = "sum", ...options } = {}) {
  checkInputs(inputs);
  checkRoot(root, inputs.length);
  if (output !== undefined && output !== null) describe(output, true);
  const outputs = inputs.map((input, i) => (i === root ? (output ?? input) : null));
  await onAll("reduce", { inputs, outputs }, { peer: root, op }, options);
}

export async function broadcast(tensors, { root = 0, ...options } = {}) {
  checkInputs(tensors);
  checkRoot(root, tensors.length);
  await onAll("broadcast", { inputs: tensors, outputs: tensors }, { peer: root }, options);
}

export async function allGather(inputs, outputs, options = {}) {
  await onAll("allGather", { inputs, outputs }, {}, options);
}

export async function reduceScatter(inputs, outputs, { op = "sum", ...options } = {}) {
  await onAll("reduceScatter", { inputs, outputs }, { op }, options);
}

async function onAll(kind, { inputs, outputs }, common, { streams = null, communicators = null, ...unknown }) {
  for (const name of Object.keys(unknown)) throw new TypeError(`${kind} has no option ${name}`);
  await load();
  checkInputs(inputs);
  checkSequence(outputs);
  checkLength("outputs", outputs, inputs);
  if (streams !== null) {
    checkSequence(streams);
    checkLength("streams", streams, inputs);
  }
  const given = communicators === null ? null : givenCommunicators(communicators, inputs);
  const devices = devicesOf(inputs);
  const parts = inputs.map((input, i) => ({ ...common, input, output: outputs[i], stream: streams?.[i] ?? null }));
  const planWith = (plan) => checkAlike(parts.map((part, i) => plan(part, i, ` at ${i}`)));
  let all = given;
  let forget = () => {};
  if (!given) {
    // Before communicators are made, as if they were there; and once more after that, since buffers may be disposed meanwhile.
    planWith((part, rank, at) => planCall(kind, { rank, size: devices.length, device: devices[rank] }, part, at));
    const clique = cliqueOf(devices);
    all = await clique.made;
    forget = () => clique.forget() && all.forEach((communicator) => void communicator.dispose());
  }
  await launch(
    all,
    planWith((part, i, at) => Communicator.plan(all[i], kind, part, at)),
    forget,
  );
}

/** Where one device fails, the others would wait for it: then all communicators end. */
async function launch(communicators, plans, forget) {
  const flushed = [];
  try {
    plans.forEach((plan, i) => {
      Communicator.launch(communicators[i], plan);
    });
    for (const communicator of communicators) flushed.push(communicator.flush());
    await Promise.all(flushed);
  } catch (error) {
    for (const communicator of communicators) communicator.abort(error.message);
    // The tensors are the caller's again when no device works on them any more.
    await Promise.allSettled(flushed);
    forget();
    throw error;
  }
}

function checkSequence(value) {
  if (!Array.isArray(value)) throw new TypeError(`expected a sequence (got ${typeName(value)})`);
}

function checkInputs(inputs) {
  checkSequence(inputs);
  if (inputs.length === 0) throw new RangeError("expected a sequence of at least one Tensor");
}

function checkLength(name, list, inputs) {
  if (list.length !== inputs.length) throw new RangeError(`number of ${name} is not equal to number of inputs`);
}

/** One for each input, in the order of their ranks; one alone needs no list. */
function givenCommunicators(communicators, inputs) {
  const all = communicators instanceof Communicator ? [communicators] : communicators;
  if (!Array.isArray(all)) throw new TypeError(`comm is not a sequence (got ${typeName(all)})`);
  checkLength("communicators", all, inputs);
  return all.map((communicator, i) => {
    if (!(communicator instanceof Communicator)) {
      throw new TypeError(`expected Communicator at ${i} (got ${typeName(communicator)})`);
    }
    const ended = Communicator.ended(communicator);
    if (ended !== null) throw new TypeError(`the Communicator at ${i} has ended: ${ended}`);
    const { rank, size } = communicator;
    if (rank !== i || size !== all.length) {
      throw new RangeError(
        `the Communicator at ${i} is rank ${rank} of ${size}, and rank ${i} of ${all.length} is needed`,
      );
    }
    return communicator;
  });
}

function devicesOf(inputs) {
  const devices = inputs.map((tensor, i) => describe(tensor, true, ` at ${i}`).cuda.device);
  if (new Set(devices).size < devices.length) throw new RangeError("inputs must be on unique devices");
  return devices;
}

function checkAlike(plans) {
  const [first] = plans;
  plans.forEach(({ dtype, count }, i) => {
    if (dtype !== first.dtype || count !== first.count) {
      throw new RangeError(
        `the Tensor at ${i} has ${count} elements of ${dtype}, and the one at 0 has ${first.count} of ${first.dtype}`,
      );
    }
  });
  return plans;
}
