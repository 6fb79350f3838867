/** The exchanges recorded between PyTorch's TCPStore clients and servers: vectors/tcpstore.json, whose head says how. */
import { readFileSync } from "node:fs";
import type { Dialect } from "../../src/node/tcp-store/queries.ts";
import { type Query, QueryReader } from "../../src/node/tcp-store/query-reader.ts";

/** One call of PyTorch's client. */
export interface Vector {
  op: string;
  arguments: unknown[];
  torch: string;
  libuv: boolean | null;
  result?: unknown;
  error?: string;
  note?: string;
  clientToServer: string | string[];
  serverToClient: string | string[];
  /** Who sent how many bytes, on each connection. */
  order: [who: "client" | "server", bytes: number | "close"][][];
  clientPid?: number;
}

/** Bytes that the client sends before it reads, and what it reads then. */
export interface Step {
  sent: Buffer;
  reply: Buffer;
}

const { vectors } = JSON.parse(readFileSync(new URL("vectors/tcpstore.json", import.meta.url), "utf8")) as {
  vectors: Vector[];
};

/** The calls of each recording, in their order. */
export const RECORDINGS: readonly { name: string; dialect: Dialect; vectors: Vector[] }[] = [
  ["2.15.0+cu132", true, "PyTorch 2.15 with libuv"] as const,
  ["2.15.0+cu132", false, "PyTorch 2.15 without libuv"] as const,
  ["1.13.0a0", null, "PyTorch 1.13"] as const,
].map(([torch, libuv, name]) => ({
  name,
  dialect: torch.startsWith("1.") ? "1.x" : "2.x",
  vectors: vectors.filter((vector) => vector.torch === torch && vector.libuv === libuv),
}));

/** The steps of the call's first connection. */
export function stepsOf({ clientToServer, serverToClient, order }: Vector): Step[] {
  const first = (hex: string | string[]) => Buffer.from(typeof hex === "string" ? hex : (hex[0] ?? ""), "hex");
  let [client, server] = [first(clientToServer), first(serverToClient)];
  const steps: Step[] = [];
  for (const [who, bytes] of order[0] ?? []) {
    if (bytes === "close") break;
    const last = steps.at(-1);
    if (who === "client") {
      const sent = client.subarray(0, bytes);
      client = client.subarray(bytes);
      if (last && last.reply.length === 0) last.sent = Buffer.concat([last.sent, sent]);
      else steps.push({ sent, reply: Buffer.alloc(0) });
    } else {
      last!.reply = Buffer.concat([last!.reply, server.subarray(0, bytes)]);
      server = server.subarray(bytes);
    }
  }
  return steps;
}

/** The queries of bytes behind a greeting of that dialect. */
export function queriesOf(bytes: Buffer, dialect: Dialect): Query[] {
  const reader = new QueryReader();
  if (dialect === "2.x") reader.push(Buffer.from("00cef7853c", "hex"));
  reader.push(bytes);
  const queries: Query[] = [];
  for (let query = reader.next(); query; query = reader.next()) queries.push(query);
  return queries;
}

/** Does another client write while the call waits? */
export const isLate = ({ note = "" }: Vector): boolean => / by another client 400 ms later$/.test(note);

/** A recorded result as this library's stores give it. */
export function resultOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(resultOf);
  if (typeof value !== "object" || value === null) return value;
  if ("bytes" in value) return new Uint8Array(Buffer.from(String(value.bytes), "hex"));
  return "int" in value ? BigInt(String(value.int)) : value;
}
