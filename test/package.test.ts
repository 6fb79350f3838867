import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt } from "../scripts/build.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const require = createRequire(import.meta.url);
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Every string in the `exports` map. */
const targets = (entry: unknown): string[] =>
  typeof entry === "string" ? [entry] : Object.values(entry as object).flatMap(targets);

/** A program that uses the public types, without anything installed but this package. */
const CONSUMER = `
import {
  initProcessGroup, ReduceOp, PeerLostError, type GpuDeviceLike, type ProcessGroup, type Tensor, type Work,
} from "webccl";
import { createHub } from "webccl/hub";
import { averageGradients, distributed } from "webccl/tfjs";
import { columnShard, runRowParallel } from "webccl/ort";

const group: ProcessGroup = await initProcessGroup({ initMethod: "memory://consumer", rank: 0, worldSize: 1 });
const tensor: Tensor = new Float32Array(4);
const work: Work<void> = group.allReduce(tensor, { op: ReduceOp.SUM });
await work;
const source: number = await group.recvAnySource(tensor, { tag: 1 });
const values: unknown[] = await group.allGatherObject(source);
const { data, dims }: { data: Float32Array; dims: number[] } = columnShard(new Float32Array(4), [2, 2], group);
const x = { type: "float32", dims, size: 4, location: "cpu", data, gpuBuffer: null, dispose: () => {} };
const session = { outputNames: ["y"], run: async (feeds: { x: typeof x }) => ({ y: feeds.x }) };
const { y } = await runRowParallel(group, session, { x });
await group.broadcast(y);
const device: GpuDeviceLike | null = group.device;
if (device) await group.allReduce({ buffer: device.createBuffer({ size: 16, usage: 140 }), dtype: "f32" });
const typed: 0 extends 1 & typeof group ? "any" : "typed" = "typed";
try {
  await group.destroy();
} catch (error) {
  if (error instanceof PeerLostError) console.log(error.rank, values, createHub, typed, averageGradients, distributed);
}
`;

/** Types that have no name for users: each with why. */
const UNNAMED = {
  Accumulating: "what the requests of reductions have in common",
  Elements: "what the three views have in common",
  GlobalClass: "makes GpuBufferLike and GpuDeviceLike",
  GpuMemory: "a part of GroupInfo",
  HubStore$1: "what HubStore is without connect",
  NcclConfig: "a part of NcclOptions",
  PersistentCallsOf: "makes PersistentCalls",
  StoreCaller: "what the class of HubStore is made of",
};

describe("the packed package", () => {
  let folder: string;
  let installed: string;

  beforeAll(async () => {
    if (!isBuilt()) await build();
    folder = mkdtempSync(join(tmpdir(), "webccl-package-"));
    installed = join(folder, "node_modules", "webccl");
    mkdirSync(installed, { recursive: true });
    const packed = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
      cwd: root,
    });
    const [{ filename }] = JSON.parse(packed.toString());
    execFileSync("tar", ["-xzf", join(folder, filename), "--strip-components=1", "-C", installed]);
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "consumer.ts"), CONSUMER);
  }, 120_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("has every file that its exports and its command name, and its licence", () => {
    const files = [...targets(manifest.exports), ...targets(manifest.bin), "LICENSE", "README.md", "CHANGELOG.md"];
    expect(files.filter((file) => !existsSync(join(installed, file)))).toEqual([]);
  });

  it("states the export conditions in the order types, browser, deno, bun, node, default", () => {
    expect(Object.keys(manifest.exports["."])).toEqual(["types", "browser", "deno", "bun", "node", "default"]);
    const order = ["types", "browser", "deno", "bun", "node", "default"];
    for (const entry of Object.values(manifest.exports).filter((value) => typeof value === "object")) {
      const conditions = Object.keys(entry as object);
      expect(conditions).toEqual(order.filter((condition) => conditions.includes(condition)));
    }
  });

  it("imports no .ts file in what it ships", () => {
    const shipped = readdirSync(join(installed, "dist"), { recursive: true, encoding: "utf8" });
    const specifiers = shipped
      .filter((file) => /\.[jt]s$/.test(file))
      .flatMap(
        (file) =>
          readFileSync(join(installed, "dist", file), "utf8").match(/(from|import|new URL)[ (]*"\.{1,2}\/[^"]*"/g) ??
          [],
      );
    expect(specifiers.length).toBeGreaterThan(10);
    expect(specifiers.filter((specifier) => specifier.endsWith('.ts"'))).toEqual([]);
  });

  it("imports no package but those that are installed with it, and optional peers", () => {
    const shipped = readdirSync(join(installed, "dist"), { recursive: true, encoding: "utf8" });
    const imported = shipped
      .filter((file) => file.endsWith(".js") && !file.startsWith("demo"))
      .flatMap((file) =>
        Array.from(
          readFileSync(join(installed, "dist", file), "utf8").matchAll(/(?:\bfrom |\bimport ?\(?)"([@\w][^"]*)"/g),
          ([, specifier = ""]) => specifier,
        ),
      )
      .filter((specifier) => !specifier.startsWith("node:"));
    const known = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)];
    expect(imported.length).toBeGreaterThan(0);
    expect(imported.filter((specifier) => !known.some((name) => `${specifier}/`.startsWith(`${name}/`)))).toEqual([]);
  });

  it.each(
    ["typescript", "typescript-5.9", "typescript-5.7"].flatMap((compiler) => [
      { compiler, module: "NodeNext", lib: ["ES2023", "DOM"], types: ["node"] },
      { compiler, module: "NodeNext", lib: ["ES2023"], types: ["node"] },
      { compiler, module: "ESNext", lib: ["ES2023", "DOM"], types: ["node", "@webgpu/types"] },
    ]),
  )("has types that $compiler checks with module $module, the libraries $lib and the types $types", (given) => {
    const { compiler, module, lib, types } = given;
    // lib.dom of TypeScript 6 has WebGPU, and clashes with the package.
    const own = compiler === "typescript" ? types.filter((name) => name !== "@webgpu/types") : types;
    const compilerOptions = {
      ...{ module, moduleResolution: module === "ESNext" ? "Bundler" : module, target: "ES2022", lib, types: own },
      ...{ strict: true, exactOptionalPropertyTypes: true, noEmit: true },
    };
    for (const name of ["@types/node", "undici-types", "@webgpu/types"]) link(name);
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
    const tsc = join(dirname(require.resolve(`${compiler}/package.json`)), "bin", "tsc");
    expect(compile(tsc)).toBe("");
  });

  it("exports every type that a public signature names", () => {
    const files = readdirSync(join(installed, "dist"), { recursive: true, encoding: "utf8" });
    const declared: string[] = [];
    const exported = new Set<string | undefined>();
    for (const file of files.filter((name) => name.endsWith(".d.ts"))) {
      const text = readFileSync(join(installed, "dist", file), "utf8");
      for (const [, name] of text.matchAll(/^(?:declare |abstract )*(?:class|interface|type) ([\w$]+)/gm))
        declared.push(name!);
      if (file.startsWith("types/")) continue;
      for (const [, list] of text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)) {
        for (const entry of list!.split(",")) exported.add(entry.trim().split(" as ").at(-1));
      }
    }
    expect(declared.length).toBeGreaterThan(100);
    expect(declared.filter((name) => !exported.has(name)).sort()).toEqual(Object.keys(UNNAMED));
  });

  /** Lets the consumer find a package that it would have installed. */
  const link = (name: string) => {
    const target = join(folder, "node_modules", name);
    mkdirSync(dirname(target), { recursive: true });
    if (!existsSync(target)) symlinkSync(join(root, "node_modules", name), target);
  };

  const compile = (tsc: string): string => {
    try {
      return execFileSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    } catch (error) {
      return (error as { stdout: string }).stdout;
    }
  };

  it("runs its command", () => {
    for (const name of Object.keys(manifest.dependencies)) link(name);
    const command = join(installed, manifest.bin.webccl);
    expect(execFileSync(command, ["--version"], { encoding: "utf8" })).toContain(`webccl/${manifest.version}`);
  });
});
