/** A Redis server of this test, and clients of it. */
import { spawn } from "node:child_process";
import { createClient } from "redis";
import { onTestFinished } from "vitest";
import { freePort } from "./free-port.ts";

/** Starts a server that keeps nothing on disk; ends it with the test. */
export async function startRedis(
  atEnd: (end: () => void) => void = onTestFinished,
): Promise<{ port: number; url: string }> {
  const port = await freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const server = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
  atEnd(() => void server.kill("SIGKILL"));
  await new Promise<void>((resolve, reject) => {
    server.stdout.on("data", (text: Buffer) => {
      if (text.includes("Ready to accept connections")) resolve();
    });
    server.once("error", reject);
    server.once("exit", (code) => reject(new Error(`redis-server ended with exit code ${code}`)));
  });
  return { port, url: `redis://127.0.0.1:${port}` };
}

/** A connected client of the package `redis`. */
export async function connectRedis(url: string) {
  const client = createClient({ url });
  client.on("error", () => {});
  await client.connect();
  return client;
}
