/**
 * The package `ws`. Where a program of Bun imports that name, Bun puts a stand-in of its own in the place of the package, which
 * cannot hold a sender back and gives no connection away; so there the package is loaded by the path of its file.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as named from "ws";

function byPath(): typeof named {
  const load = createRequire(import.meta.url);
  const path = join(dirname(load.resolve("ws/package.json")), "index.js");
  // Bundlers that follow the path find no such file.
  return load(/* turbopackIgnore: true */ /* webpackIgnore: true */ path);
}

/** As `ws` exports them. */
export const { WebSocket, WebSocketServer } = "bun" in process.versions ? byPath() : named;
