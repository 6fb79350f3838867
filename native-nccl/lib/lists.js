/** torch.cuda.nccl's calls over lists: one tensor, stream and communicator for each device. */
import { checkRoot, initAll } from "./communicator.js";
import { describe } from "./tensor.js";

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
