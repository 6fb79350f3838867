import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const src = join(root, "src");

/** Files by name, first match wins; what is not listed here has no floor, and the test says so. */
const FLOORS: readonly (readonly [pattern: RegExp, floor: number])[] = [
  [/^(types|errors|options|reduce-op)\.ts$/, 0],
  [/^algorithm\/(pattern|partition)\.ts$/, 1],
  [/^transport\/(frame|control|control-codec|schema|copy-bytes|websocket-frame|websocket-receiver)\.ts$/, 1],
  [/^executor\/half\.ts$/, 1],
  [/\.d\.ts$/, 1],
  [
    /^(store\/store|transport\/(transport|shared-region|shared-areas|shared-file)|executor\/executor|backend\/(backend|nccl-library)|algorithm\/context|platform)\.ts$/,
    2,
  ],
  [/^(algorithm|executor|transport|store)\//, 3],
  [/^(backend|hub)\//, 4],
  [/^(index|work|deadlines|ownership|process-group|init)\.ts$/, 5],
  [/^bring-up\//, 5],
  [/^[a-z-]+\.ts$/, 5],
  [/^(ddp|nn|trace)\//, 5],
  [/^(node|deno|browser|cli|testing)\//, 6],
];

function floorOf(file: string): number {
  const entry = FLOORS.find(([pattern]) => pattern.test(file));
  if (!entry) throw new Error(`${file} is on no floor: see FLOORS in this test`);
  return entry[1];
}

const folderOf = (file: string) => (file.includes("/") ? file.slice(0, file.indexOf("/")) : "");

interface Module {
  /** Files of src that it imports, types included. */
  files: string[];
  /** Files of src that it imports when it runs. */
  runtimeFiles: string[];
  /** Packages and node: modules that it imports when it runs. */
  packages: string[];
}

function readModule(file: string): Module {
  const path = join(src, file);
  const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
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

  it("imports downward only, and never a sibling folder of floor 3", () => {
    const climbs: string[] = [];
    for (const [file, module] of modules) {
      for (const target of module.files) {
        const [from, to] = [floorOf(file), floorOf(target)];
        const isSibling = from === 3 && to === 3 && folderOf(file) !== folderOf(target);
        const leavesContract = from === 1 && to === 1 && folderOf(file) !== folderOf(target);
        if (to > from || isSibling || leavesContract) climbs.push(`${file} (${from}) imports ${target} (${to})`);
      }
    }
    expect(climbs).toEqual([]);
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

  it("names a platform only in node/, deno/, browser/, cli/ and testing/", () => {
    const platform = /^(node|deno|browser|cli|testing)\//;
    const named = [...modules].flatMap(([file, { packages }]) =>
      platform.test(file)
        ? []
        : packages.filter((name) => name === "ws" || name.startsWith("node:")).map((name) => `${file}: ${name}`),
    );
    expect(named).toEqual([]);
  });

  it("has no file past 400 lines whose header does not say why", () => {
    const long = files
      .filter((file) => !file.endsWith(".generated.ts"))
      .map((file) => ({ file, text: readFileSync(join(src, file), "utf8") }))
      .filter(({ text }) => !/400 lines/.test(text.slice(0, text.indexOf("*/"))))
      .map(({ file, text }) => ({ file, lines: text.split("\n").length - 1 }))
      .filter(({ lines }) => lines > 400);
    expect(long).toEqual([]);
  });
});
