/** The version of the protocol: no byte changes without a new one, and the version before and this one refuse each other in words. */
import { readFileSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocketServer } from "ws";
import { ProtocolError } from "../../../src/errors.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { encodeControl } from "../../../src/wire/control.ts";
import { decodeHeader, VERSION } from "../../../src/wire/frame.ts";
import { decodeHandshake, encodeHandshake, makeNonce } from "../../../src/wire/handshake.ts";
import { openHub, rawWebSocket } from "../../hub/support.ts";
import { vectors } from "./vectors.ts";

/** The messages that were recorded of a version. */
function recorded(version: number): Record<string, Buffer> {
  const { version: said, messages } = JSON.parse(readFileSync(new URL(`./${version}.json`, import.meta.url), "utf8"));
  expect(said).toBe(version);
  return Object.fromEntries(
    Object.entries(messages as Record<string, string>).map(([name, hex]) => [name, Buffer.from(hex, "hex")]),
  );
}

const BEFORE = recorded(VERSION - 1);

/** What is read of a message of any version: a map's own fields, by the decoder of today. */
const isRefusal = (bytes: Buffer) => decodeHandshake(bytes, ["refused"]);

describe("the bytes on the wire", () => {
  it("are those that were recorded of this version", () => {
    const hint =
      `a message has other bytes than version ${VERSION} had when it was recorded: raise VERSION in src/wire/frame.ts, and ` +
      `npx tsx test/wire/versions/vectors.ts > test/wire/versions/${VERSION + 1}.json`;
    const before = Object.entries(recorded(VERSION)).map(([name, bytes]) => [name, bytes.toString("hex")]);
    expect(vectors(), hint).toEqual(Object.fromEntries(before));
  });

  it("hold the version wherever a version before had it", () => {
    for (const name of ["challenge", "hello", "hello without token"]) {
      for (const version of [VERSION - 1, VERSION]) {
        // MessagePack: the text "version" of 7 bytes, then a small number.
        expect(recorded(version)[name]!.includes(Buffer.from([0xa7, ...Buffer.from("version"), version])), name).toBe(
          true,
        );
      }
    }
    expect(BEFORE["frame DATA"]![1]).toBe(VERSION - 1);
    expect(() => decodeHeader(BEFORE["frame DATA"]!)).toThrow(ProtocolError);
  });
});

/** What a hub of this version answers to a hello. */
async function answerTo(said: Uint8Array, token?: string) {
  const hub = await openHub({ token });
  const raw = rawWebSocket(hub.url);
  await raw.first;
  raw.ws.send(said);
  expect(await raw.closed).toEqual({ code: 1008, reason: "refused" });
  expect(hub.stats.rooms).toBe(0);
  return isRefusal(raw.messages[1]!);
}

const NEWER = { type: "hello", version: VERSION + 1, other: "fields", of: ["a", "version", "to come"] };

describe("a hub of this version", () => {
  it.each(["hello", "hello without token"])(
    "refuses a rank of the version before (%s): the rank is the older",
    async (name) => {
      for (const token of [undefined, "the token of the vectors"]) {
        expect(await answerTo(BEFORE[name]!, token)).toEqual({
          type: "refused",
          reason: `this rank speaks version ${VERSION - 1} of the protocol, and the hub ${VERSION}: the rank is the older: update its webccl (reload a page)`,
          retry: false,
        });
      }
    },
  );

  it("refuses a rank of a version to come: the hub is the older", async () => {
    const { reason } = (await answerTo(encodeControl(NEWER), "token")) as { reason: string };
    expect(reason).toBe(
      `this rank speaks version ${VERSION + 1} of the protocol, and the hub ${VERSION}: the hub is the older: update its webccl`,
    );
  });

  it("refuses in the bytes in which the version before refused, and asks in a challenge that it can read", () => {
    const { reason, retry } = isRefusal(BEFORE["refused with a reason"]!) as { reason: string; retry: boolean };
    const again = encodeHandshake({ type: "refused", reason, retry });
    expect(Buffer.from(again)).toEqual(BEFORE["refused with a reason"]);
    // Apart from the number of the version.
    const challenge = Buffer.from(recorded(VERSION).challenge!);
    const at = challenge.indexOf("version") + "version".length;
    challenge[at] = VERSION - 1;
    expect(challenge).toEqual(BEFORE.challenge);
  });
});

/** How a rank of this version, page or program, ends at a hub that says this. */
async function errorAt(...said: Uint8Array[]): Promise<Error> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  onTestFinished(() => void server.close());
  server.on("connection", (ws) => {
    for (const message of said) ws.send(message);
  });
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
  return initProcessGroup({ initMethod: `${url}/g`, rank: 0, worldSize: 2, timeoutMs: 20_000 }).then(
    () => new Error("a group"),
    (error) => new error.constructor(error.message.replace(url, "URL")),
  );
}

describe("a rank of this version", () => {
  it("refuses a hub of the version before: the hub is the older", async () => {
    const error = await errorAt(BEFORE.challenge!);
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error.message).toBe(
      `URL: this rank speaks version ${VERSION} of the protocol, and the hub ${VERSION - 1}: the hub is the older: update its webccl`,
    );
  });

  it("refuses a hub of a version to come: the rank is the older, and a page is to be reloaded", async () => {
    const error = await errorAt(encodeControl({ ...NEWER, type: "challenge" }));
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error.message).toBe(
      `URL: this rank speaks version ${VERSION} of the protocol, and the hub ${VERSION + 1}: the rank is the older: update its webccl (reload a page)`,
    );
  });

  it("tells the refusal of a hub that read its hello and is of another version", async () => {
    const reason = "this rank speaks version 1 of the protocol, and the hub 9: the rank is the older";
    const error = await errorAt(
      encodeHandshake({ type: "challenge", nonce: makeNonce() }),
      encodeHandshake({ type: "refused", reason, retry: false }),
    );
    expect(error.message).toBe(`URL refused this rank: ${reason}`);
  });
});
