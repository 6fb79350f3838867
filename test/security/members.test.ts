/** What a member of a group does to the hub and to the others of its group, by hand. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agreeOnCause } from "../../src/bring-up/agree-on-cause.ts";
import { ERROR_CODES, PeerLostError, toWireError, WebcclError } from "../../src/errors.ts";
import { HubConnection } from "../../src/link/hub/connection.ts";
import { HubLink } from "../../src/link/hub/link.ts";
import { Mesh } from "../../src/messaging/mesh.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { decodeControl, encodeControl } from "../../src/wire/control.ts";
import { encodeMessage } from "../../src/wire/control-messages.ts";
import { FrameKind } from "../../src/wire/frame.ts";
import { expectFields } from "../../src/wire/schema.ts";
import { expectWireError } from "../../src/wire/wire-error.ts";
import { drawn, mutated } from "../helpers/mutations.ts";
import { besideHealthyGroup, hostile } from "../hub/hostile.ts";
import { dataFrame, join, joinConnection, openHub } from "../hub/support.ts";

const uncaught: unknown[] = [];
const note = (error: unknown) => uncaught.push(error);
beforeAll(() => {
  process.on("uncaughtException", note).on("unhandledRejection", note);
});
afterAll(() => {
  process.off("uncaughtException", note).off("unhandledRejection", note);
});
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const ranks = (count: number) => Array.from({ length: count }, (_, rank) => rank);

/** The largest cause that may be told. */
const LARGEST = {
  code: "TIMEOUT",
  message: "m".repeat(65_536),
  details: { group: "g".repeat(4_096), url: "u".repeat(4_096), field: "f".repeat(4_096), missingRanks: ranks(1_024) },
};

describe("W1 a cause", () => {
  it("that is as large as may be is told, and one that is larger ends its sender's connection alone", async () => {
    const hub = await openHub();
    await besideHealthyGroup(hub, async () => {
      for (const [cause, event] of [
        [LARGEST, { type: "left", rank: 0, cause: LARGEST }],
        [
          { ...LARGEST, details: { missingRanks: ranks(1_025) } },
          { type: "lost", rank: 0 },
        ],
        [
          { ...LARGEST, details: { missingRanks: ranks(9_980) } },
          { type: "lost", rank: 0 },
        ],
        [
          { code: "PEER_LOST", message: "it is gone", details: {} },
          { type: "lost", rank: 0 },
        ],
        [
          { code: "TIMEOUT", message: "late", details: { missingRanks: [-1] } },
          { type: "lost", rank: 0 },
        ],
      ] as const) {
        const group = `g ${Math.random()}`;
        const member = await hostile(hub, { group, rank: 0 });
        const other = await joinConnection(hub, { group, rank: 1 });
        await member.tell({ type: "goodbye", cause });
        await other.until(() => other.events.length > 0);
        expect(other.events[0]).toMatchObject(event);
        other.socket.terminate();
      }
    });
    expect(uncaught).toEqual([]);
  });

  it("of any error that a program throws can be told, and told again", () => {
    const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true });
    const fields = ["group", "rank", "collective", "sequence", "peer", "url", "field", "missingRanks", "more"];
    const details = fc.dictionary(
      fc.constantFrom(...fields),
      fc.oneof(anything, fc.array(fc.integer()), fc.nat(), fc.string()),
    );
    fc.assert(
      fc.property(fc.constantFrom(...ERROR_CODES), fc.string({ unit: "binary" }), details, (code, message, held) => {
        const told = toWireError(new WebcclError(code, message, { ...held }));
        const heard = expectFields(decodeControl(encodeControl({ type: "left", rank: 1, cause: told })));
        expect(expectWireError(heard.cause)).toEqual(told);
      }),
      { numRuns: 200 },
    );
  });

  it("of a relayed abort that does not name the lost rank ends the group, and names the sender", async () => {
    const hub = await openHub();
    const group = "g";
    const { socket, welcome } = await join(hub, { group, rank: 0 });
    const connection = new HubConnection(socket, welcome, hub.url);
    const link = new HubLink(connection, null);
    connection.start({
      ...{ onFrame: (header, payload) => link.deliver(header, payload), onFold: () => {}, onDamaged: () => {} },
      ...{ onLost: () => link.closed(), onLeft: () => link.closed(), onClosed: () => link.closed() },
    });
    const member = await hostile(hub, { group, rank: 1 });
    const mesh = new Mesh({ rank: 0, epoch: 0, links: new Map([[1, link]]), logger: SILENT });
    mesh.start();
    const store = new HubStore(connection);
    const died = new Promise<WebcclError>((resolve) => {
      const agree = (cause: WebcclError) => agreeOnCause(store, "g", cause, 0);
      mesh.open({ group: 7, name: "g", ranks: [0, 1], logger: SILENT, agreeOnCause: agree, onDead: resolve });
    });
    const error = { code: "PEER_LOST" as const, message: "somebody is gone", details: {} };
    const abort = encodeMessage({ type: "abort", error });
    await member.send(dataFrame(0, abort.length, { kind: FrameKind.CONTROL, group: 7 }), abort);
    const cause = await died;
    expect(cause).toBeInstanceOf(PeerLostError);
    expect(cause.message).toMatch(/rank 1 was lost: it broke the protocol: .*peer/);
    expect(uncaught).toEqual([]);
  });
});

describe("W6 a malformed frame that is relayed", () => {
  it("without the checksums that its receiver has is noticed at the hub, and its sender named and closed", async () => {
    const hub = await openHub();
    const receiver = await joinConnection(hub, { rank: 1, worldSize: 4, checksums: true });
    const member = await hostile(hub, { rank: 3, worldSize: 4 });
    await member.send(dataFrame(1, 5), new Uint8Array(5));
    expect((await member.closed).code).toBe(1002);
    await receiver.until(() => receiver.events.length === 2);
    expect(receiver.events).toMatchObject([
      { type: "damaged", rank: 3 },
      { type: "lost", rank: 3 },
    ]);
    expect(await new HubStore(receiver.connection).numKeys()).toBe(0);
  });

  it("of any shape closes no connection but its sender's", { timeout: 120_000 }, async () => {
    const hub = await openHub();
    const heads = [1, 2].flatMap((peer) => [
      dataFrame(peer, 5),
      dataFrame(peer, 0),
      dataFrame(peer, 9, { kind: FrameKind.REQUEST, request: 1 }),
    ]);
    const valid = heads.map((head, i) => Uint8Array.from(Buffer.concat([head, new Uint8Array(i % 3 === 0 ? 5 : 0)])));
    const receivers = [
      await joinConnection(hub, { rank: 1, worldSize: 4_096 }),
      await joinConnection(hub, { rank: 2, worldSize: 4_096, checksums: true }),
    ];
    const frames = drawn(mutated(valid), 60);
    // A group takes nobody in once a member has gone.
    const members = await Promise.all(frames.map((_, i) => hostile(hub, { rank: 3 + i, worldSize: 4_096 })));
    await Promise.all(members.map((member, i) => member.send(frames[i]!)));
    for (const { ws } of members) ws.close();
    await Promise.all(members.map(({ closed }) => closed));
    for (const { connection, events } of receivers) {
      expect(await new HubStore(connection).numKeys()).toBe(0);
      expect(events.filter((event) => (event as { type: string }).type === "closed")).toEqual([]);
    }
  });
});
