/** A web server with the pages of tests in which browsers take part. */
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.ts";

const PROGRAM = fileURLToPath(new URL("program.ts", import.meta.url));

/** How the server sends its pages. */
export interface PageKind {
  /** The content security policy's script-src beyond 'self'. */
  scripts?: string;
  /** Cross-origin isolated, so that memory may be shared. */
  isolated?: boolean;
}

/** Where pages come from, and what they load. */
export interface PagesOptions {
  programs?: Readonly<Record<string, string>>;
  /** Files that are served as they are, by name: modules and WebAssembly of packages that load them by address. */
  files?: Readonly<Record<string, string>>;
  /** Under this name. Default: 127.0.0.1. */
  host?: string;
  /** At this address. Default: 127.0.0.1. */
  address?: string;
  tls?: { cert: string; key: string };
}

export class PageServer {
  readonly origin: string;
  readonly close: () => void;

  private constructor(origin: string, close: () => void) {
    this.origin = origin;
    this.close = close;
  }

  /**
   * Pages that load "entry.js"; `programs` are modules by the names of their bundles. They come from `host`, over https if
   * there is a certificate.
   */
  static async open({
    programs = { "entry.js": PROGRAM },
    files: given = {},
    host = "127.0.0.1",
    address = "127.0.0.1",
    tls,
  }: PagesOptions = {}): Promise<PageServer> {
    const bundles = await Promise.all(Object.entries(programs).map(([name, entry]) => bundle(entry, name)));
    const files = new Map(bundles.flatMap((codes) => [...codes]));
    const listener: RequestListener = (request, response) => {
      const { pathname } = new URL(request.url ?? "/", "http://localhost");
      const [, kind = "{}", file] = decodeURIComponent(pathname).split("/");
      const { scripts = "", isolated = false }: PageKind = JSON.parse(kind || "{}");
      response.setHeader(
        "content-security-policy",
        `default-src 'none'; script-src 'self' ${scripts}; worker-src 'self'; connect-src 'self' ws://127.0.0.1:* http://127.0.0.1:* ws://hub.example:* http://hub.example:*`,
      );
      if (isolated) {
        response.setHeader("cross-origin-opener-policy", "same-origin");
        response.setHeader("cross-origin-embedder-policy", "require-corp");
      }
      const code = files.get(file ?? "");
      if (code !== undefined) response.setHeader("content-type", "text/javascript").end(code);
      else if (file !== undefined && Object.hasOwn(given, file)) {
        response.setHeader("content-type", file.endsWith(".wasm") ? "application/wasm" : "text/javascript");
        response.end(readFileSync(given[file] ?? ""));
      } else if (file === "") {
        response.setHeader("content-type", "text/html");
        response.end(`<!doctype html><title>rank</title><script type="module" src="entry.js"></script>`);
      } else response.writeHead(404).end();
    };
    const server = tls ? createSecureServer(tls, listener) : createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    const origin = `${tls ? "https" : "http"}://${host}:${(server.address() as AddressInfo).port}`;
    return new PageServer(origin, () => {
      server.closeAllConnections();
      server.close();
    });
  }

  /** The address of a page that does `job`, which its program finds as JSON in the fragment. */
  urlOf(kind: PageKind, job?: object): string {
    const fragment = job ? `#${encodeURIComponent(JSON.stringify(job))}` : "";
    return `${this.origin}/${encodeURIComponent(JSON.stringify(kind))}/${fragment}`;
  }
}
