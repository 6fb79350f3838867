/** The files of a page that a command serves: which file a path names, and how it is sent. Whatever a stranger asks for has an answer. */
import { readFileSync, statSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** The path that is asked for, or null if it is none: "//" is the beginning of a host's name. */
export function pathOf({ url = "/" }: IncomingMessage): string | null {
  return URL.canParse(url, "http://localhost") ? new URL(url, "http://localhost").pathname : null;
}

/** Answers with the file of `folder` that `path` names: 400 if that is no path, 404 if there is none. */
export function sendFile(folder: URL, path: string | null, response: ServerResponse): void {
  const file = path === null ? null : fileAt(folder, path === "/" ? "index.html" : path.slice(1));
  if (!file) {
    response.writeHead(path === null ? 400 : 404, { "content-type": "text/plain" });
    response.end(path === null ? "This is no path.\n" : "There is no such page.\n");
    return;
  }
  response.setHeader("content-type", TYPES[extname(file.pathname)] ?? "application/octet-stream");
  response.end(readFileSync(file));
}

/** The file of this name in `folder` or in a folder of it, or null. */
function fileAt(folder: URL, name: string): URL | null {
  if (!/^[\w.-]+(\/[\w.-]+)?$/.test(name) || name.includes("..")) return null;
  const file = new URL(name, folder);
  return statSync(file, { throwIfNoEntry: false })?.isFile() ? file : null;
}
