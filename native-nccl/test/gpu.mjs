/**
 * What gpu.sh runs: one process per rank, on one rank and on as many as there are devices; then the kernels of WebGPU. Prints a
 * table, writes JSON.
 *
 *   node gpu.mjs rank.mjs webccl.mjs result.json
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [rankProgram, command, resultFile] = process.argv.slice(2).map((path) => resolve(path));
const nccl = await import(pathToFileURL(resolve(process.env.WEBCCL_NCCL_PACKAGE)).href);

const INTEGERS = ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"];
const FLOATS = ["f8e4m3", "f8e5m2", "f16", "bf16", "f32", "f64"];
/** Reductions of floats go by `floats`: their order and their NaNs are a GPU's own. These reduce f64 among other things. */
const WITHOUT_FLOATS = ["concurrent", "newGroup", "split"];
const COLLECTIVES = [
  ...["allReduce", "reduce", "broadcast", "allGather", "allGatherIntoTensor", "gather", "scatter", "reduceScatter"],
  ...["reduceScatterTensor", "allToAll", "allToAllSingle", "scan", "exscan", "sendRecv", "recvAnySource", "barrier"],
].filter((name) => !WITHOUT_FLOATS.includes(name));

/** How this runtime starts a program. */
const RUN = "Deno" in globalThis ? ["run", "--allow-all", "--no-config", "--v8-flags=--expose-gc"] : ["--expose-gc"];

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Runs a task on `size` ranks and resolves with what rank 0 reported; rejects with what a rank printed if one fails. */
async function run(task, size, env = {}) {
  const port = await freePort();
  const reports = Array.from({ length: size }, (_, rank) => {
    const place = { RANK: `${rank}`, WORLD_SIZE: `${size}`, MASTER_PORT: `${port}` };
    const child = spawn(process.execPath, [...RUN, rankProgram, task], {
      env: { ...process.env, ...env, ...place },
    });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        text += chunk;
      });
    }
    return new Promise((done, fail) => {
      child.on("close", (code) => {
        if (code === 0) done(JSON.parse(text.trim().split("\n").at(-1)));
        else fail(new Error(`${task}, rank ${rank} of ${size} ended with ${code}: ${text.slice(-2000)}`));
      });
    });
  });
  return (await Promise.all(reports))[0];
}

/** What `webccl bench kernels` finds of WebGPU here, as JSON, or why it finds nothing. */
function webgpuKernels() {
  const args = ["bench", "kernels", "--device", "webgpu", "-b", process.env.KERNEL_BYTES ?? "64M", "--json"];
  const child = spawn(process.execPath, [...RUN, command, ...args], { timeout: 600_000 });
  const text = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) {
    child[stream].on("data", (chunk) => {
      text[stream] += chunk;
    });
  }
  return new Promise((done) => {
    child.on("close", (code, signal) => {
      if (code === 0) done({ devices: JSON.parse(text.stdout).devices });
      else done({ missing: text.stderr.trim().split("\n").at(-1) || `it ended with ${code ?? signal}` });
    });
  });
}

/** Prints every kernel of each WebGPU device, beside its copies and CUDA's. */
function printKernels({ devices = [], missing }, bandwidth) {
  if (missing) console.log(`\nWebGPU: ${missing}`);
  const copies = bandwidth.filter(({ what }) => what.startsWith("device to device"));
  const cudaGBs = Math.max(0, ...copies.map(({ busGBs }) => busGBs));
  for (const { device, rows, fold } of devices) {
    console.log(`\nWebGPU, ${device}; CUDA copies within the device at ${cudaGBs.toFixed(2)} GB/s`);
    console.log(`${"".padEnd(22)}${"GB/s".padStart(12)}${"WebGPU copy".padStart(12)}${"share".padStart(10)}`);
    for (const { dtype, op, GBs, copyGBs, share } of rows) {
      const cells = [GBs.toFixed(2).padStart(12), copyGBs.toFixed(2).padStart(12), share.toFixed(2).padStart(10)];
      console.log(`${`${dtype} ${op}`.padEnd(22)}${cells.join("")}`);
    }
    console.log(`f32 sum beside a kernel that only adds two vec4: ${fold.ratio.toFixed(2)}`);
    console.log(`four inputs in one pass beside three passes: ${fold.fourShare.toFixed(2)} of the time`);
  }
}

const { version, driver, path, devices } = await nccl.load().catch((error) => {
  console.log(`This machine cannot run it: ${error.message}`);
  process.exit(1);
});
const result = {
  date: new Date().toISOString(),
  device: devices[0].name,
  devices: devices.length,
  computeCapability: devices[0].computeCapability,
  nccl: nccl.versionTuple().join("."),
  driver,
  node: process.version,
  checks: [],
  bandwidth: [],
};
console.log(
  `${devices.length} × ${result.device}, NCCL ${result.nccl} (${version}, ${path}), CUDA driver ${driver}, Node ${process.version}`,
);

let failed = 0;
for (const size of new Set([1, devices.length])) {
  const checks = [
    ["integers, host", "host", { collectives: COLLECTIVES, dtypes: INTEGERS, counts: [0, 17, 5000] }],
    ["integers, device", "device", { collectives: COLLECTIVES, dtypes: INTEGERS, counts: [17, 5000] }],
    ["floats moved, host", "host", { collectives: COLLECTIVES, dtypes: FLOATS, ops: [], counts: [17, 5000] }],
    ["floats moved, device", "device", { collectives: COLLECTIVES, dtypes: FLOATS, ops: [], counts: [17, 5000] }],
    ["floats reduced", "floats", {}],
    ["a thousand operations", "thousand", {}],
    ["event loop, 256 MiB", "delay", {}],
  ];
  for (const [what, task, cases] of checks) {
    let report;
    try {
      report = await run(task, size, { CASES: JSON.stringify(cases) });
    } catch (error) {
      report = { wrong: [error.message] };
    }
    const wrong = Array.isArray(report.wrong) ? report.wrong : report.wrong ? [`${report.wrong} runs`] : [];
    if (wrong.length > 0) failed++;
    const { ran = 1, times } = report;
    result.checks.push({ what, ranks: size, ran, wrong, ...(times ? { times } : {}) });
    console.log(`${wrong.length === 0 ? "ok    " : "WRONG "} ${size} rank${size > 1 ? "s" : ""}: ${what} (${ran})`);
    for (const text of wrong.slice(0, 5)) console.log(`       ${text}`);
    if (times)
      console.log(`       loop paused for at most ${times.map(({ maxMs }) => maxMs.toFixed(1)).join(", ")} ms`);
  }
  try {
    const { rows } = await run("bandwidth", size);
    result.bandwidth.push(...rows.map((row) => ({ ranks: size, ...row })));
    console.log(
      `\n${"".padEnd(34)}${"bytes".padStart(12)}${"time (us)".padStart(12)}${"GB/s".padStart(10)}   ${size} rank${size > 1 ? "s" : ""}`,
    );
    for (const { what, bytes, us, busGBs } of rows) {
      console.log(
        `${what.padEnd(34)}${String(bytes).padStart(12)}${us.toFixed(1).padStart(12)}${busGBs.toFixed(2).padStart(10)}`,
      );
    }
  } catch (error) {
    failed++;
    console.log(`WRONG  ${size}: bandwidth: ${error.message}`);
  }
}
result.kernels = await webgpuKernels();
printKernels(result.kernels, result.bandwidth);
writeFileSync(resultFile, `${JSON.stringify(result, null, 2)}\n`);
const passed = result.checks.length - failed;
console.log(`\n${passed} passed, ${failed} failed; ${resultFile}`);
process.exit(failed > 0 ? 1 : 0);
