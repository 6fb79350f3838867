/** The addon, loaded at first use, so that importing this package never fails. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);

/** Where the addon may be: the one that was built here goes before the one that came with the package. */
const PATHS = ["../build/release/webccl_nccl.node", `../prebuilt/${process.platform}-${process.arch}/webccl_nccl.node`];

let loaded = null;

/** @throws Error that says how to build the addon, if it is in none of these. */
export function native() {
  if (loaded) return loaded;
  const chosen = process.env.WEBCCL_NCCL_ADDON;
  const paths = chosen ? [chosen] : PATHS.map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (!path) {
    throw new Error(
      `the addon of @webccl/nccl is not there (${paths.join(", ")}): run "npm run build:native" in the package's folder, ` +
        "which needs a C++17 compiler and nothing else",
    );
  }
  loaded = require(path);
  return loaded;
}
