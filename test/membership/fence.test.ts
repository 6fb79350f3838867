/** Frames and connections of an epoch that is over reach nobody: at a rank's mesh, and at a hub. */
import { describe, expect, it } from "vitest";
import { MemoryLink } from "../../src/link/memory/link.ts";
import { Mesh } from "../../src/messaging/mesh.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { encodeMessage } from "../../src/wire/control-messages.ts";
import { encodeHeader, FrameKind } from "../../src/wire/frame.ts";
import { closeOf, dataFrame, hello, join, joinConnection, openHub } from "../hub/support.ts";

const logger = { error() {}, warn() {}, info() {}, debug() {} };
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

/** Rank 0 with links to ranks 1 and 2, whose ends are the test's. */
function meshOfThree() {
  const [own1, one] = MemoryLink.pair(null, null);
  const [own2, two] = MemoryLink.pair(null, null);
  const links = new Map([
    [1, own1],
    [2, own2],
  ]);
  const mesh = new Mesh({ rank: 0, epoch: 0, links, logger });
  mesh.start();
  const ends = [one, two].map((link) => {
    const state = { link, isClosed: false };
    link.start({ onFrame: () => {}, onDamaged: () => {}, onClose: () => Object.assign(state, { isClosed: true }) });
    return state;
  });
  return { mesh, one: ends[0]!, two: ends[1]! };
}

const frame = (epoch: number, group: number) =>
  encodeHeader(
    { kind: FrameKind.DATA, flags: 0, peer: 1, epoch, slot: 0, group, sequence: 1, payloadBytes: 4, request: 0 },
    null,
  );

describe("the mesh of a rank", () => {
  it("drops and counts frames of an older epoch, and keeps those of a newer one", async () => {
    const { mesh, one } = meshOfThree();
    const open = () => mesh.open({ group: 7, name: "g", ranks: [0, 1], logger, onDead: () => {} });
    one.link.send(frame(0, 7), new Uint8Array(4));
    one.link.send(frame(1, 7), new Uint8Array(4));
    await turn();
    mesh.adopt(1, [0, 1]);
    expect(mesh.droppedFrames).toBe(1);
    const channel = open();
    expect(channel.hasHeardOf(1)).toBe(true);
    mesh.close(channel);
    one.link.send(frame(0, 9), new Uint8Array(4));
    await turn();
    expect(mesh.droppedFrames).toBe(2);
    expect(mesh.open({ group: 9, name: "h", ranks: [0, 1], logger, onDead: () => {} }).hasHeardOf(1)).toBe(false);
    mesh.leave();
  });

  it("closes the link to a rank that is no member, and takes nothing of it any more", async () => {
    const { mesh, two } = meshOfThree();
    const told: unknown[] = [];
    mesh.listen({ onMessage: (_, message) => told.push(message), onChange: () => {} });
    mesh.adopt(1, [0, 1]);
    const body = encodeMessage({ type: "membership", message: { type: "here" } });
    const control = {
      kind: FrameKind.CONTROL,
      flags: 0,
      peer: 2,
      epoch: 1,
      slot: 0,
      group: 0,
      sequence: 0,
      request: 0,
    };
    two.link.send(encodeHeader({ ...control, payloadBytes: body.byteLength }, null), body);
    await turn();
    expect(told).toEqual([]);
    expect(two.isClosed).toBe(true);
    expect(mesh.reaches(2)).toBe(false);
    expect(mesh.reaches(1)).toBe(true);
    mesh.leave();
  });
});

describe("a hub", () => {
  const members = (epoch: number, ranks: number[]) => ({ type: "members" as const, epoch, ranks });

  it("closes the members that an epoch goes on without, and drops frames of the one before", async () => {
    const hub = await openHub();
    const [zero, one, two] = await Promise.all([0, 1, 2].map((rank) => joinConnection(hub, { rank, worldSize: 3 })));
    const closed = two!.until(() => two!.events.some((event) => (event as { type: string }).type === "closed"));
    zero!.connection.tell(members(1, [0, 1]));
    await closed;
    expect(two!.events.at(-1)).toMatchObject({ code: 1008, reason: "epoch 1 goes on without it" });
    one!.connection.sendFrame(dataFrame(0, 1), new Uint8Array(1));
    one!.connection.sendFrame(dataFrame(0, 1, { epoch: 1 }), new Uint8Array([5]));
    await zero!.until(() => zero!.frames.length > 0);
    expect(zero!.frames.map(({ payload }) => [...payload])).toEqual([[5]]);
    expect(hub.stats.droppedFrames).toBe(1);
    // The seat is not given again.
    await expect(join(hub, { rank: 2, worldSize: 3 })).rejects.toThrow(/was lost/);
  });

  it("takes no epoch from a rank that is not in it, and no second verdict for one", async () => {
    const hub = await openHub();
    const [zero, one] = await Promise.all([0, 1].map((rank) => joinConnection(hub, { rank })));
    zero!.connection.tell(members(1, [0, 1]));
    await new HubStore(zero!.connection).numKeys();
    one!.connection.tell(members(1, [1]));
    await new HubStore(one!.connection).numKeys();
    expect(hub.stats.members).toBe(2);
    const closed = closeOf(one!.socket);
    one!.connection.tell(members(2, [0]));
    expect(await closed).toMatchObject({ code: 1002 });
    expect(hub.stats.members).toBe(1);
  });

  it("gives a rank that joins a seat behind all others, and closes it when the group has ended", async () => {
    const hub = await openHub();
    const joining = { rank: null, worldSize: 0 };
    await expect(join(hub, { ...joining, group: "none" })).rejects.toThrow(/no group "none" here to join/);
    const zero = await joinConnection(hub, { rank: 0, worldSize: 1 });
    const waiting = await joinConnection(hub, joining);
    expect(waiting.welcome).toMatchObject({ rank: 1, worldSize: 0 });
    await expect(join(hub, hello({ ...joining, rank: 1 }))).rejects.toThrow(/has no number yet/);
    const closed = waiting.until(() => waiting.events.some((event) => (event as { type: string }).type === "closed"));
    zero.connection.goodbye();
    await closed;
    expect(waiting.events.at(-1)).toMatchObject({ code: 1001, reason: "the group has ended" });
    expect(hub.stats.rooms).toBe(0);
  });
});
