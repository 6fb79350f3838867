import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { WorkerServer, type WorkerServerOptions } from "../../src/node/index.ts";
import { parseDump } from "../../src/trace/index.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";
import { ranksOf } from "../trace/ranks.ts";

interface Answer {
  status: number | undefined;
  headers: IncomingMessage["headers"];
  text: string;
}

function ask(options: RequestOptions, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function open(hostOrFile: string, port?: number, options?: WorkerServerOptions): Promise<WorkerServer> {
  const server = new WorkerServer(hostOrFile, port, options);
  await server.ready;
  onTestFinished(() => server.shutdown());
  return server;
}

const get = (server: WorkerServer, path: string, headers: Record<string, string> = {}) =>
  ask({ host: "127.0.0.1", port: server.port, path, headers });

describe("WorkerServer", () => {
  it("answers at a unix socket that nobody else may open, and takes it away in the end", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "rank0.sock");
    const before = process.umask(0);
    const server = await open(path).finally(() => process.umask(before));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(server).toMatchObject({ url: `unix:${path}`, port: -1 });
    expect(await ask({ socketPath: path, path: "/handler/ping" })).toMatchObject({ status: 200, text: "pong" });
    expect(readdirSync(folder)).toEqual(["rank0.sock"]);
    await server.shutdown();
    await server.shutdown();
    expect(readdirSync(folder)).toEqual([]);
    await expect(ask({ socketPath: path, path: "/handler/ping" })).rejects.toThrow(/ENOENT/);
  });

  it("refuses a path that is taken, too long or nowhere, and takes over a socket that a killed process left", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "a.sock");
    const server = await open(path);
    await expect(new WorkerServer(path).ready).rejects.toThrow(/exists already/);
    expect(await ask({ socketPath: path, path: "/handler/ping" })).toMatchObject({ text: "pong" });
    writeFileSync(join(folder, "file"), "mine");
    await expect(new WorkerServer(join(folder, "file")).ready).rejects.toThrow(/exists already/);
    await expect(new WorkerServer(join(folder, "x".repeat(120))).ready).rejects.toThrow(/at most 103 bytes/);
    await expect(new WorkerServer(join(folder, "nowhere", "a")).ready).rejects.toThrow(RangeError);
    mkdirSync(join(folder, "b"));
    const left = join(folder, "b", "left.sock");
    const program = `require("net").createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", program]);
    expect(existsSync(left)).toBe(true);
    await open(left);
    expect(await ask({ socketPath: left, path: "/handler/ping" })).toMatchObject({ text: "pong" });
    await server.shutdown();
    await expect(new WorkerServer(path).shutdown()).resolves.toBeUndefined();
  });

  it("listens on loopback alone, unless it is told otherwise", async () => {
    for (const host of ["0.0.0.0", "::", "192.0.2.1", "no.such.host.invalid"]) {
      const server = new WorkerServer(host, 0);
      await expect(server.ready).rejects.toThrow(/other machines could read/);
      await expect(server.shutdown()).rejects.toThrow(RangeError);
    }
    const nowhere = new WorkerServer("no.such.host.invalid", 0, { insecure: true });
    await expect(nowhere.ready).rejects.toThrow(
      /^no\.such\.host\.invalid is no name of which this machine knows an address/,
    );
    const server = await open("0.0.0.0", 0, { insecure: true });
    expect(await get(server, "/handler/ping")).toMatchObject({ text: "pong" });
    const taken = new WorkerServer("127.0.0.1", (await open("127.0.0.1", 0)).port);
    await expect(taken.ready).rejects.toThrow(/already in use/);
    expect(() => new WorkerServer("")).toThrow(TypeError);
    for (const port of [-2, 65_536, 1.5, Number.NaN])
      expect(() => new WorkerServer("127.0.0.1", port)).toThrow(RangeError);
    expect(() => new WorkerServer("127.0.0.1", 0, { quxx: 1 } as object)).toThrow(/unknown option quxx/);
  });

  it("tells no page: neither one of another origin, nor one whose host name leads here", async () => {
    const server = await open("127.0.0.1", 0, { group: (await ranksOf(1))[0]!, allowHosts: ["rank0.example"] });
    const own = `127.0.0.1:${server.port}`;
    for (const path of ["/handler/ping", "/handler/fr_trace_json", "/metrics", "/handler/"]) {
      for (const host of [own, `localhost:${server.port}`, "rank0.example"]) {
        expect((await get(server, path, { host })).status).toBe(200);
      }
      expect((await get(server, path, { host: "evil.example" })).status).toBe(403);
      for (const origin of ["https://evil.example", "null", `http://${own}`]) {
        expect((await get(server, path, { host: own, origin })).status).toBe(403);
      }
      for (const site of ["cross-site", "same-site"]) {
        expect((await get(server, path, { host: own, "sec-fetch-site": site })).status).toBe(403);
      }
      const { headers, status } = await get(server, path, { host: own, "sec-fetch-site": "none" });
      expect(status).toBe(200);
      expect(headers).toMatchObject({
        "cross-origin-resource-policy": "same-origin",
        "x-content-type-options": "nosniff",
      });
      expect(headers).not.toHaveProperty("access-control-allow-origin");
    }
  });

  it("has handlers of its own program: unknown, duplicate and wrong names are errors", async () => {
    const server = await open("127.0.0.1", 0);
    server.registerHandler("echo", ({ params, body }) => ({ params, body }));
    server.registerHandler("late", async () => "soon");
    server.registerHandler("broken", () => {
      throw new Error("no more");
    });
    server.registerHandler("endless", () => {
      const loop: { loop?: unknown } = {};
      loop.loop = loop;
      return loop;
    });
    server.registerHandler("nothing", () => undefined);
    expect(() => server.registerHandler("echo", () => "")).toThrow(/already/);
    expect(() => server.registerHandler("ping", () => "")).toThrow(/already/);
    for (const name of ["", "a/b", "a b", "ä"])
      expect(() => server.registerHandler(name, () => "")).toThrow(RangeError);
    expect(() => server.registerHandler("x", 3 as never)).toThrow(TypeError);
    const posted = await ask(
      { host: "127.0.0.1", port: server.port, path: "/handler/echo?a=1&b=x%20y", method: "POST" },
      "hello",
    );
    expect(JSON.parse(posted.text)).toEqual({ params: { a: "1", b: "x y" }, body: "hello" });
    expect(await get(server, "/handler/late")).toMatchObject({ status: 200, text: "soon" });
    expect(await get(server, "/handler/broken")).toMatchObject({ status: 500, text: "no more" });
    expect(await get(server, "/handler/endless")).toMatchObject({ status: 500 });
    expect(await get(server, "/handler/nothing")).toMatchObject({ status: 200, text: "null" });
    expect(JSON.parse((await get(server, "/handler/")).text)).toContain("echo");
    for (const path of ["/handler/nobody", "/handler/fr_trace_json", "/", "/handler", "/metrics", "/handler/a/b"]) {
      expect((await get(server, path)).status, path).toBe(404);
    }
    const { status } = await ask({ host: "127.0.0.1", port: server.port, path: "/handler/ping", method: "DELETE" });
    expect(status).toBe(405);
    const long = { host: "127.0.0.1", port: server.port, path: "/handler/echo", method: "POST" };
    expect((await ask(long, "x".repeat(2 ** 20 + 1)).catch(() => ({ status: 413 }))).status).toBe(413);
    expect(await get(server, "/handler/ping")).toMatchObject({ text: "pong" });
  });

  it("tells the flight recorder and the group's figures", async () => {
    const groups = await ranksOf(2);
    const server = await open("127.0.0.1", 0, { group: groups[0]! });
    await Promise.all(groups.map((group) => group.allReduce(new Float32Array(1000))));
    const pending = groups[0]!.recv(new Float32Array(4), 1);
    const whole = parseDump(JSON.parse((await get(server, "/handler/fr_trace_json")).text));
    expect(whole.entries.map(({ collective, state }) => [collective, state])).toEqual([
      ["allReduce", "completed"],
      ["recv", "started"],
    ]);
    const active = parseDump(JSON.parse((await get(server, "/handler/fr_trace_json?onlyActive=true")).text));
    expect(active.entries.map(({ collective }) => collective)).toEqual(["recv"]);
    const { text, headers } = await get(server, "/metrics");
    expect(headers["content-type"]).toContain("text/plain");
    expect(text).toContain('webccl_calls_total{group="default",rank="0",collective="allReduce"} 1');
    expect(text).toContain('webccl_call_bytes_total{group="default",rank="0",collective="allReduce"} 4000');
    expect(text).toContain('webccl_running_calls{group="default",rank="0"} 1');
    expect(text).toMatch(/webccl_peer_received_bytes_total\{group="default",rank="0",peer="1"\} \d{3,}/);
    groups[0]!.abort("the test is over");
    await expect(pending).rejects.toThrow();
    expect((await get(server, "/metrics")).text).toContain('webccl_group_dead{group="default",rank="0"} 1');
  });
});

/** All that comes for these bytes, until the server closes the connection. */
function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect({ host: "127.0.0.1", port }, () => socket.write(bytes));
    socket.setEncoding("latin1").on("data", (text) => {
      answer += text;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}

describe("WorkerServer, asked by a stranger of this machine", () => {
  /** A group that counts the dumps that are made of it. */
  const counted = () => {
    const count = { made: 0, now: 0, most: 0 };
    const dumpTrace = async () => {
      count.made++;
      count.most = Math.max(count.most, ++count.now);
      await new Promise((resolve) => setImmediate(resolve));
      count.now--;
      return { entries: "x".repeat(10_000) } as never;
    };
    return { count, group: { dumpTrace } };
  };

  it("answers one request of a connection, whatever comes with it", async () => {
    const { count, group } = counted();
    const { port } = await open("127.0.0.1", 0, { group });
    const target = fc.constantFrom("/handler/fr_trace_json", "/metrics", "/handler/ping", "//", "/[", "*", "/handler/");
    const requests = fc.array(fc.record({ target, body: fc.nat(300) }), { minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(requests, async (drawn) => {
        const before = count.made;
        const bytes = drawn.map(
          ({ target, body }) =>
            `POST ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: ${body}\r\n\r\n${"y".repeat(body)}`,
        );
        const answer = await exchange(port, bytes.join(""));
        const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
        expect(statuses.filter((status) => status !== "503").length).toBe(1);
        expect(count.made - before).toBeLessThanOrEqual(1);
      }),
      { numRuns: 25 },
    );
    const twoHosts = `GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nHost: localhost\r\n\r\n`;
    expect((await exchange(port, twoHosts)).slice(0, 12)).toBe("HTTP/1.1 400");
    for (const path of ["//", "//[", "/\\["]) {
      const answer = await exchange(port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
      expect(answer.slice(0, 12)).toMatch(/HTTP\/1\.1 40[04]/);
    }
  });

  it("makes one dump at a time, however many ask", async () => {
    const { count, group } = counted();
    const server = await open("127.0.0.1", 0, { group });
    const paths = Array.from({ length: 20 }, () => "/handler/fr_trace_json");
    const answers = await Promise.all(paths.map((path) => get(server, path)));
    expect(answers.map(({ status }) => status)).toEqual(paths.map(() => 200));
    expect(count).toMatchObject({ made: 20, most: 1 });
  });

  it("has room for so many connections, and closes the others at once", async () => {
    const server = await open("127.0.0.1", 0);
    const opened = Array.from({ length: 70 }, () => connect({ host: "127.0.0.1", port: server.port }));
    onTestFinished(() => {
      for (const socket of opened) socket.destroy();
    });
    const closed = new Set<unknown>();
    await new Promise<void>((resolve) => {
      for (const socket of opened) {
        socket.on("error", () => {});
        socket.on("close", () => {
          closed.add(socket);
          if (closed.size === 6) resolve();
        });
        socket.resume();
      }
    });
    for (const socket of opened) socket.destroy();
    await expect
      .poll(() => get(server, "/handler/ping").then(({ text }) => text, String), { timeout: 10_000 })
      .toBe("pong");
  });
});
