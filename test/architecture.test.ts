import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const src = join(root, "src");

/**
 * Every folder of src and every file that stands on another floor than its folder, from the ground up. A file imports from
 * floors below its own, and on its own floor from its own room alone: the folder of src that it is in. The ground and the
 * contracts, which stand on FREE floors, may name each other.
 */
const FLOORS: readonly (readonly string[])[] = [
  ["packages", "support", "types.ts", "errors.ts", "option-checks.ts", "options.ts", "reduce-op.ts", "logger.ts"],
  ["wire", "wire/proof", "tensor"],
  [
    ...["platform.ts", "request.ts", "link/link.ts", "executor/executor.ts", "store/store.ts", "region/region.ts"],
    ...[
      "algorithm/context.ts",
      "algorithm/rows.ts",
      "algorithm/segments.ts",
      "backend/backend.ts",
      "backend/choice.ts",
      "backend/nccl/library.ts",
    ],
  ],
  [
    ...[
      "executor",
      "executor/checksum",
      "executor/cpu",
      "executor/cpu/packing",
      "executor/webgpu",
      "executor/webgpu/kernels",
      "executor/webgpu/memory",
      "store",
    ],
    ...[
      "link/payload",
      "link/memory",
      "link/threads",
      "link/files",
      "link/mapped",
      "link/message-port",
      "link/websocket",
      "link/webrtc",
      "link/hub",
    ],
  ],
  ["elementwise"],
  [
    ...["messaging", "region", "region/addressable", "region/areas", "hub"],
    ...["algorithm/toolkit", "algorithm/messages", "algorithm/addressable", "algorithm/areas", "algorithm/hub"],
  ],
  ["backend/direct", "backend/composed"],
  ["backend/nccl"],
  ["group", "group/child", "group/pairing", "group/trace"],
  ["membership"],
  ["bring-up", "bring-up/media", "bring-up/epochs", "bring-up/meeting", "bring-up/nccl"],
  ["index.ts"],
  ["trace"],
  [
    "ddp",
    "ddp/checkpoint",
    "ddp/hooks",
    "ddp/hooks/quantised",
    "ddp/optimizer",
    "ddp/reducer",
    "nn",
    "nn/steps",
    "ort",
  ],
  ["tfjs"],
  [
    "node",
    "node/environment",
    "node/file-store",
    "node/memory-files",
    "node/mapped-memory",
    "node/metrics",
    "node/proxies",
    "node/redis-store",
    "node/tcp-store",
    "node/trace",
    "node/webrtc",
    "node/time-slice",
    "browser",
  ],
  ["deno", "bun", "simulated", "simulated/network", "simulated/run"],
  [
    "cli",
    "cli/bench",
    "cli/commands",
    "cli/info",
    "cli/kernels",
    "cli/launch",
    "cli/page",
    "cli/trace",
    "testing",
    "testing/stores",
  ],
];

const FREE = [0, 2];

function floorOf(file: string): number {
  const folder = dirname(file);
  const floor = FLOORS.findIndex((rooms) => rooms.includes(file));
  const folderFloor = FLOORS.findIndex((rooms) => rooms.includes(folder));
  if (floor < 0 && folderFloor < 0) throw new Error(`${file} is on no floor: see FLOORS in this test`);
  return floor < 0 ? folderFloor : floor;
}

/** The folder of src that a file is in. */
const roomOf = (file: string) => (file.includes("/") ? file.slice(0, file.indexOf("/")) : "");

interface Module {
  /** Files of src that it imports, types included. */
  files: string[];
  /** Files of src that it imports when it runs. */
  runtimeFiles: string[];
  /** Packages and node: modules that it imports when it runs. */
  packages: string[];
}

function sourceOf(file: string): ts.SourceFile {
  const path = join(src, file);
  return ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
}

function readModule(file: string): Module {
  const path = join(src, file);
  const source = sourceOf(file);
  const module: Module = { files: [], runtimeFiles: [], packages: [] };
  const add = (specifier: string, isType: boolean) => {
    if (specifier.startsWith(".")) {
      const target = relative(src, resolve(dirname(path), specifier));
      module.files.push(target);
      if (!isType) module.runtimeFiles.push(target);
    } else if (!isType) module.packages.push(specifier);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, node.importClause?.isTypeOnly ?? false);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add((node.argument.literal as ts.StringLiteral).text, true);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [specifier] = node.arguments;
      if (specifier && ts.isStringLiteral(specifier)) add(specifier.text, false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return module;
}

const files = readdirSync(src, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
  .map((entry) => relative(src, join(entry.parentPath, entry.name)))
  .sort();
const modules = new Map(files.map((file) => [file, readModule(file)]));
/** Files that somebody wrote. */
const written = files.filter((file) => !file.endsWith(".generated.ts"));

/** Everything that `entry` loads when it runs, itself included. */
function reachable(entry: string): Set<string> {
  const seen = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    modules.get(file)?.runtimeFiles.forEach(visit);
  };
  visit(entry);
  return seen;
}

describe("src", () => {
  it("is read whole", () => {
    expect(files.length).toBeGreaterThan(10);
    const imported = [...modules].flatMap(([file, module]) => module.files.map((target) => ({ file, target })));
    expect(imported.filter(({ target }) => !modules.has(target))).toEqual([]);
  });

  it("has no floor for what does not exist", () => {
    const folders = new Set(files.map((file) => dirname(file)));
    expect(FLOORS.flat().filter((room) => !modules.has(room) && !folders.has(room))).toEqual([]);
  });

  it("imports downward only, and on one floor from its own room alone", () => {
    const climbs: string[] = [];
    for (const [file, module] of modules) {
      for (const target of module.files) {
        const [from, to] = [floorOf(file), floorOf(target)];
        if (to < from || (to === from && (FREE.includes(from) || roomOf(file) === roomOf(target)))) continue;
        climbs.push(`${file} (${from}) imports ${target} (${to})`);
      }
    }
    expect(climbs).toEqual([]);
  });

  it("reads time, sets timers and draws random bytes in support/ and on the platforms alone", () => {
    const banned =
      /\b(performance\.now|Date\.now|setTimeout|setInterval|Math\.random|crypto\.(getRandomValues|randomUUID))\b/;
    const own = /^(support|node|deno|browser|simulated|cli)\//;
    const found = files.flatMap((file) => {
      const code = readFileSync(join(src, file), "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");
      const match = own.test(file) ? null : banned.exec(code);
      return match ? [`${file}: ${match[0]}`] : [];
    });
    expect(found).toEqual([]);
  });

  it("keeps U+FEFF wherever it decodes text", () => {
    const decoders = files.flatMap((file) =>
      Array.from(
        readFileSync(join(src, file), "utf8").matchAll(/new TextDecoder\([^)]*\)/g),
        ([text]) => `${file}: ${text}`,
      ),
    );
    expect(decoders.length).toBeGreaterThan(0);
    expect(decoders.filter((text) => !text.includes("ignoreBOM: true"))).toEqual([]);
  });

  it("has no circle", () => {
    const circles: string[] = [];
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      const at = path.indexOf(file);
      if (at >= 0) circles.push([...path.slice(at), file].join(" → "));
      if (at >= 0 || done.has(file)) return;
      for (const target of modules.get(file)?.files ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(circles).toEqual([]);
  });

  it("keeps hub, ws and node: out of what every runtime loads", () => {
    const shared = files.filter((file) => file === "index.ts" || file.startsWith("browser/"));
    const leaks = shared.flatMap((entry) =>
      [...reachable(entry)].flatMap((file) => {
        const packages = modules.get(file)?.packages.filter((name) => name === "ws" || name.startsWith("node:")) ?? [];
        return [...(file.startsWith("hub/") ? ["the hub"] : []), ...packages].map(
          (leak) => `${entry}: ${file}: ${leak}`,
        );
      }),
    );
    expect(shared).toContain("index.ts");
    expect(leaks).toEqual([]);
  });

  it("names a platform only in node/, deno/, bun/, browser/, simulated/, cli/ and testing/", () => {
    const platform = /^(node|deno|bun|browser|simulated|cli|testing)\//;
    const named = [...modules].flatMap(([file, { packages }]) =>
      platform.test(file)
        ? []
        : packages.filter((name) => name === "ws" || name.startsWith("node:")).map((name) => `${file}: ${name}`),
    );
    expect(named).toEqual([]);
  });

  it("has no folder with more than 16 files side by side, apart from the list of algorithms over messages", () => {
    const sizes = new Map<string, number>();
    for (const file of files) sizes.set(dirname(file), (sizes.get(dirname(file)) ?? 0) + 1);
    const most = (folder: string) => (folder === "algorithm/messages" ? 26 : 16);
    expect([...sizes].filter(([folder, size]) => size > most(folder))).toEqual([]);
  });

  it("has no function longer than 60 lines", () => {
    const long: string[] = [];
    for (const file of written) {
      const source = sourceOf(file);
      const lineOf = (position: number) => source.getLineAndCharacterOfPosition(position).line;
      const visit = (node: ts.Node): void => {
        const body = ts.isFunctionLike(node) && "body" in node ? node.body : undefined;
        const lines = body ? lineOf(node.end) - lineOf(node.getStart()) + 1 : 0;
        if (lines > 60) long.push(`${file}:${lineOf(node.getStart()) + 1}: ${lines} lines`);
        ts.forEachChild(node, visit);
      };
      visit(source);
    }
    expect(long).toEqual([]);
  });

  it("has no file past 400 lines whose header does not say why", () => {
    const long = written
      .map((file) => ({ file, text: readFileSync(join(src, file), "utf8") }))
      .filter(({ text }) => !/400 lines/.test(text.slice(0, text.indexOf("*/"))))
      .map(({ file, text }) => ({ file, lines: text.split("\n").length - 1 }))
      .filter(({ lines }) => lines > 400);
    expect(long).toEqual([]);
  });
});
