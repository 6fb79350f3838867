/** `webccl info`: the parts that are here, and those that are missing, each with its fix. */

import { availableParallelism, totalmem } from "node:os";
import { bunPlatform } from "../../bun/platform.ts";
import { createCpuExecutor } from "../../executor/cpu/cpu-executor.ts";
import { nodePlatform, openMappedMemory } from "../../node/platform.ts";
import { textOf } from "../../support/thrown.ts";
import { statusLine } from "../bench/report.ts";
import { typeScriptRunner } from "../launch/type-script.ts";
import { describe, type Info } from "./describe.ts";
import { gpuInfos } from "./gpu.ts";
import { ncclInfo } from "./nccl.ts";

const PAGE_BYTES = 65_536;

/** Prints it and returns the exit code. A missing part is no failure. */
export async function info({ version, json }: { version: string; json: boolean }): Promise<number> {
  const status = statusLine();
  status("asking Node, Deno and Chromium for their GPUs …");
  const found = await gather(version).finally(() => status(""));
  process.stdout.write(json ? `${JSON.stringify(found)}\n` : describe(found));
  return 0;
}

async function gather(version: string): Promise<Info> {
  const executor = await createCpuExecutor();
  const cpu = { description: executor.description, arithmeticId: executor.arithmeticId };
  await executor.dispose();
  const typeScript = typeScriptRunner();
  const missing: Info["missing"] = [];
  if (typeScript === null) {
    missing.push({
      what: "running .ts files",
      fix: "npm install --save-dev tsx, or Node 22.18 or later",
    });
  }
  if (!cpu.description.includes("wasm")) {
    missing.push({ what: `WebAssembly SIMD (${cpu.description})`, fix: "start Node without --jitless" });
  }
  const mapped = await mapping();
  if (mapped.fix !== null) {
    missing.push({ what: "transport mapped-memory", fix: `${mapped.fix}; ranks of one host use shared-file` });
  }
  const files = whyNoSharedFiles();
  if (files !== null) missing.push({ what: "transport shared-file", fix: `${files}; ranks of one host use websocket` });
  return {
    webccl: version,
    runtime: ("bun" in process.versions ? bunPlatform : nodePlatform).version,
    system: {
      platform: process.platform,
      arch: process.arch,
      cores: availableParallelism(),
      memoryBytes: totalmem(),
    },
    cpu,
    gpus: await gpuInfos(),
    nccl: await ncclInfo(),
    ffi: mapped.ffi,
    transports: [
      ...["memory", "shared-memory", ...(mapped.ffi === null ? [] : ["mapped-memory"])],
      ...(files === null ? ["shared-file"] : []),
      ...["websocket", "hub"],
    ],
    typeScript: typeScript ?? "missing",
    hostId: nodePlatform.hostId,
    missing,
  };
}

/** Through what memory is mapped, or why none can be. */
async function mapping(): Promise<{ ffi: string; fix: null } | { ffi: null; fix: string }> {
  try {
    const { ffi, create } = await openMappedMemory();
    create(PAGE_BYTES).memory.close();
    return { ffi, fix: null };
  } catch (error) {
    return { ffi: null, fix: textOf(error) };
  }
}

function whyNoSharedFiles(): string | null {
  try {
    nodePlatform.memoryFiles();
    return null;
  } catch (error) {
    return textOf(error);
  }
}
