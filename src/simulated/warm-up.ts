/** Loads every module that the library may load when it runs: once loaded, an `import()` is over without real work. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { loadAlgorithms } from "../algorithm/rows.ts";
import { tableWith } from "../backend/direct/select.ts";

/** Rooms of other runtimes, and programs. */
const ELSEWHERE = /^(browser|deno|cli|demo|simulated|testing|tfjs|ort)\//;

/** See the file's head. `root` is the folder that has the rooms. */
export async function warmUp(root: string): Promise<void> {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".js") && !ELSEWHERE.test(file),
  );
  await Promise.all(files.map((file) => import(pathToFileURL(join(root, file)).href)));
  await loadAlgorithms(tableWith());
}
