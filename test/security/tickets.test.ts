/** S24: tickets, and the proof of both sides, over real sockets. More than 400 lines: one set of helpers that speak both sides of the proof. */
import { createHmac } from "node:crypto";
import { connect, createServer } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { WebSocketServer } from "ws";
import { AdmissionError } from "../../src/errors.ts";
import { Doorkeeper } from "../../src/hub/doorkeeper.ts";
import { type MintTicketOptions, mintTicket } from "../../src/node/hub.ts";
import { HubStore, initProcessGroup } from "../../src/node/index.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { decodeHandshake, encodeHandshake, type Hello, makeNonce } from "../../src/wire/handshake.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import { helloBytes, welcomeBytes } from "../../src/wire/proof/proof.ts";
import { decodePayload, ticketOf, ticketText } from "../../src/wire/proof/ticket.ts";
import { closeOf, dataFrame, hello, helloMessage, nonceIn, openHub, proofOf, rawWebSocket } from "../hub/support.ts";

const TOKEN = "the token of these tests";
const MIB = 2 ** 20;
const soon = () => Date.now() + 60_000;
const mint = (fields: Partial<MintTicketOptions> = {}) =>
  mintTicket(TOKEN, { group: "g", expiresAt: soon(), ...fields });

async function come(hub: { url: string }, ticket: string, fields: Partial<Hello> = {}) {
  const joined = await connectWebSocket(hub.url, hello(fields), { timeoutMs: 5_000, ticket });
  onTestFinished(() => joined.socket.terminate());
  return joined;
}

/** The bytes that a hub says in answer to a hello, and what it then is. */
async function answerTo(hub: { url: string }, make: (challenge: Uint8Array) => Uint8Array) {
  const raw = rawWebSocket(hub.url);
  const challenge = nonceIn(await raw.first);
  const answer = new Promise<Buffer>((resolve) => raw.ws.once("message", (data: Buffer) => resolve(data)));
  raw.ws.send(make(challenge));
  return decodeHandshake(await answer, ["welcome", "refused"]);
}

afterEach(() => void vi.useRealTimers());

describe("mintTicket()", () => {
  it("gives a payload, and HMAC-SHA-256 of it under the token as key", () => {
    const expiresAt = soon();
    const text = mintTicket(TOKEN, { group: "gruppe-é", rank: 3, expiresAt, maxBytesInFlight: 8 * MIB });
    const { payload, key } = ticketOf(text);
    const facts = { group: "gruppe-é", rank: 3, role: "rank", expiresAt, maxBytesInFlight: 8 * MIB };
    expect(decodePayload(payload)).toMatchObject(facts);
    const expected = createHmac("sha256", TOKEN).update("webccl ticket\0").update(payload).digest();
    expect(Buffer.from(key)).toEqual(expected);
    expect(text).toMatch(/^[\w-]+\.[\w-]+$/);
    expect(text).not.toContain(TOKEN);
    expect(mint()).not.toBe(mint());
  });

  it("refuses what is missing or out of range, and names it", () => {
    const wrong: [string, object, RegExp][] = [
      ["", {}, /token/],
      [TOKEN, { group: undefined }, /group/],
      [TOKEN, { group: "" }, /group/],
      [TOKEN, { group: "g".repeat(257) }, /group/],
      [TOKEN, { rank: -1 }, /rank is -1/],
      [TOKEN, { rank: 1.5 }, /rank is 1.5/],
      [TOKEN, { rank: 65_536 }, /rank is 65536/],
      [TOKEN, { role: "admin" }, /role is "admin": use one of rank, store/],
      [TOKEN, { role: "store", rank: 0 }, /has no rank/],
      [TOKEN, { expiresAt: undefined }, /expiresAt is undefined/],
      [TOKEN, { expiresAt: Date.now() - 1_000 }, /from now/],
      [TOKEN, { expiresAt: Date.now() + 25 * 3_600_000 }, /24 hours/],
      [TOKEN, { expiresAt: Number.NaN }, /NaN/],
      [TOKEN, { maxBytesInFlight: MIB }, /maxBytesInFlight is 1048576/],
      [TOKEN, { expires: 1 }, /expires.*expiresAt/],
    ];
    for (const [token, fields, text] of wrong) {
      const options = { group: "g", expiresAt: soon(), ...fields };
      expect(() => mintTicket(token, options), JSON.stringify(fields)).toThrow(text);
      expect(() => mintTicket(token, options)).not.toThrow(TOKEN);
    }
  });
});

describe("S24 a ticket", () => {
  it("lets its holder in, and neither its key nor the token crosses the wire", async () => {
    const hub = await openHub({ token: TOKEN });
    const seen: Buffer[] = [];
    const proxy = createServer((rank) => {
      const target = connect(hub.port, "127.0.0.1");
      for (const socket of [rank, target]) {
        socket.on("data", (chunk) => seen.push(chunk));
        socket.on("error", () => {});
      }
      rank.pipe(target).pipe(rank);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void proxy.close());
    const url = `ws://127.0.0.1:${(proxy.address() as { port: number }).port}`;
    const ticket = mint({ rank: 1 });
    const { welcome, resume } = await come({ url }, ticket, { rank: null });
    expect(welcome.rank).toBe(1);
    const wire = Buffer.concat(seen);
    const { payload, key } = ticketOf(ticket);
    expect(wire.includes(Buffer.from(payload))).toBe(true);
    for (const secret of [key, ticketOf(resume!).key, TOKEN, ticket])
      expect(wire.includes(Buffer.from(secret))).toBe(false);
  });

  it("of any rank lets in whichever its holder asks for, beside holders of the token", async () => {
    const hub = await openHub({ token: TOKEN });
    const first = await connectWebSocket(hub.url, hello({ rank: 0 }), { timeoutMs: 5_000, token: TOKEN });
    onTestFinished(() => first.socket.terminate());
    expect((await come(hub, mint(), { rank: 1 })).welcome).toMatchObject({ rank: 1, worldSize: 2 });
    expect(hub.stats).toMatchObject({ rooms: 1, members: 2 });
  });

  const misused: [string, Partial<MintTicketOptions>, Partial<Hello>, RegExp][] = [
    ["of another group", { group: "other" }, {}, /for group "other", not "g"/],
    ["of another rank", { rank: 0 }, { rank: 1 }, /for rank 0, not for rank 1/],
    [
      "of a rank, by one that joins a group",
      { rank: 0 },
      { rank: null, worldSize: 0 },
      /for rank 0, and a rank that joins/,
    ],
    ["of a store, for a group", { role: "store" }, {}, /for a client of a store/],
    ["of a group, for a store", {}, { purpose: "store", rank: null }, /for a rank of a group/],
    ["of a group, for a direct link", {}, { purpose: "link" }, /for a rank of a group/],
  ];
  it.each(misused)("%s is refused with that reason, and not used up", async (_, minted, said, text) => {
    const hub = await openHub({ token: TOKEN });
    const ticket = mint(minted);
    const refused = come(hub, ticket, said);
    await expect(refused).rejects.toThrow(text);
    await expect(refused).rejects.toBeInstanceOf(AdmissionError);
    expect(hub.stats).toMatchObject({ rooms: 0, members: 0 });
    const isStore = minted.role === "store";
    const right = { group: minted.group ?? "g", rank: isStore ? null : (minted.rank ?? 0), purpose: "hub" as const };
    expect((await come(hub, ticket, isStore ? { ...right, purpose: "store" } : right)).welcome.rank).toBe(0);
  });

  it("that was used is refused, whether its holder is still in or not", async () => {
    const hub = await openHub({ token: TOKEN });
    const ticket = mint();
    const { socket } = await come(hub, ticket, { rank: 0 });
    await expect(come(hub, ticket, { rank: 1 })).rejects.toThrow(/has been used, and lets in once: get a new one/);
    socket.terminate();
    await vi.waitFor(() => expect(hub.stats.members).toBe(0));
    await expect(come(hub, ticket, { rank: 0 })).rejects.toThrow(/has been used/);
  });

  it("that brings a rank which is taken is refused for that, and good for another", async () => {
    const hub = await openHub({ token: TOKEN });
    await come(hub, mint(), { rank: 0 });
    const ticket = mint();
    await expect(come(hub, ticket, { rank: 0 })).rejects.toThrow(/rank 0 of group "g" is already taken/);
    expect((await come(hub, ticket, { rank: 1 })).welcome.rank).toBe(1);
  });

  it("that has expired is refused, by the hub's clock; who is in stays in", async () => {
    const hub = await openHub({ token: TOKEN });
    const inTime = await come(hub, mint({ expiresAt: soon() }), { rank: 0 });
    const late = mint({ expiresAt: soon() });
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 61_500 });
    await expect(come(hub, late, { rank: 1 })).rejects.toThrow(
      /expired 1\.\d s ago by this hub's clock: get a new one/,
    );
    expect(hub.stats.members).toBe(1);
    inTime.socket.terminate();
  });

  it("with any bit changed is refused as a stranger is, and its holder learns what to check", async () => {
    const hub = await openHub({ token: TOKEN });
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(7), async (place, bit) => {
        const { payload, key } = ticketOf(mint());
        const at = place % (payload.length + key.length);
        const part = at < payload.length ? payload : key;
        part[at % payload.length]! ^= 2 ** bit;
        const ticket = ticketText({ payload, key });
        const said = await answerTo(hub, (challenge) => helloMessage(hello(), { ticket, challenge }));
        expect(said).toEqual({ type: "refused", reason: "refused", retry: false });
        const joined = connectWebSocket(hub.url, hello(), { timeoutMs: 5_000, ticket });
        await expect(joined).rejects.toThrow(/ticket is not of this hub: it was altered, or minted with another token/);
      }),
      { numRuns: 25 },
    );
    expect(hub.stats).toMatchObject({ rooms: 0, members: 0 });
  });

  it("of another token, and a token in place of a key, are refused as a stranger is", async () => {
    const hub = await openHub({ token: TOKEN });
    const others = [
      mintTicket("another token", { group: "g", expiresAt: soon() }),
      ticketText({ payload: ticketOf(mint()).payload, key: new Uint8Array(32) }),
    ];
    for (const ticket of others) {
      const said = await answerTo(hub, (challenge) => helloMessage(hello(), { ticket, challenge }));
      expect(said).toMatchObject({ type: "refused", reason: "refused" });
    }
    // A proof that was seen on the wire is HMAC of a hello under the token; it is no key of a payload that is that hello.
    const nonces = { challenge: makeNonce(), hello: makeNonce() };
    const payload = helloBytes(nonces, hello());
    const ticket = ticketText({ payload, key: proofOf(TOKEN, nonces, hello()) });
    const said = await answerTo(hub, (challenge) => helloMessage(hello(), { ticket, challenge }));
    expect(said).toMatchObject({ type: "refused", reason: "refused" });
  });

  it("that is no ticket is a TypeError before anything is sent, which does not show it", async () => {
    for (const ticket of ["", "text", "a.b", `${mint()}.c`, `${mint()}!`, mint().slice(0, -1), 7 as never]) {
      const joined = connectWebSocket("ws://127.0.0.1:1", hello(), { timeoutMs: 5_000, ticket });
      await expect(joined, String(ticket)).rejects.toThrow(TypeError);
      await expect(joined).rejects.toThrow(/^the option ticket is no text that mintTicket made/);
    }
  });

  it("limits the bytes that its holder has in flight; the others go on", async () => {
    const hub = await openHub({ token: TOKEN });
    const [bounded, free] = [
      await come(hub, mint({ maxBytesInFlight: 8 * MIB })),
      await come(hub, mint(), { rank: 1 }),
    ];
    for (const { socket } of [bounded, free]) socket.onMessage = () => {};
    free.socket.pause();
    const closed = closeOf(bounded.socket);
    for (let i = 0; i < 16; i++) bounded.socket.send([dataFrame(1, MIB), new Uint8Array(MIB)]);
    // It is held back at half of them; what it has sent beyond is read once the other has read.
    await vi.waitFor(() => expect(hub.stats.bytesInFlight).toBeGreaterThan(4 * MIB));
    expect(hub.stats.bytesInFlight).toBeLessThanOrEqual(8 * MIB);
    free.socket.resume();
    await vi.waitFor(() => expect(hub.stats.bytesInFlight).toBe(0), { timeout: 5_000 });
    bounded.socket.send([encodeHubFrame({ type: "goodbye", cause: null })].flat());
    bounded.socket.close(1000);
    expect((await closed).code).toBe(1000);
  });

  it("leaves nothing behind once it has expired", () => {
    const doorkeeper = new Doorkeeper(TOKEN);
    const welcome = { rank: 0, worldSize: 2, epoch: 0, hostRank: null, checksums: false };
    const use = () => {
      const [challenge, nonce] = [makeNonce(), makeNonce()];
      const { payload, key } = ticketOf(mint());
      const proof = proofOf(key, { challenge, hello: nonce }, hello());
      const guest = doorkeeper.examine(challenge, { type: "hello", hello: hello(), nonce, ticket: payload, proof });
      doorkeeper.welcome(guest!, welcome);
    };
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    for (let minute = 0; minute < 4; minute++) {
      for (let i = 0; i < 400; i++) use();
      vi.setSystemTime(Date.now() + 61_000);
    }
    expect(doorkeeper.usedTickets).toBeLessThan(1_024);
  });
});

describe("S24 the ticket for coming again", () => {
  it("takes back the same rank, once, at this hub or at another one of that token", async () => {
    const [hub, next] = await Promise.all([openHub({ token: TOKEN }), openHub({ token: TOKEN })]);
    const first = await come(hub, mint(), { rank: 1 });
    first.socket.terminate();
    await vi.waitFor(() => expect(hub.stats.members).toBe(0));
    const second = await come(hub, first.resume!, { rank: null });
    expect(second.welcome.rank).toBe(1);
    await expect(come(hub, first.resume!)).rejects.toThrow(/for rank 1, not for rank 0/);
    await expect(come(hub, first.resume!, { rank: 1 })).rejects.toThrow(/has been used/);
    expect((await come(next, second.resume!, { rank: 1 })).welcome.rank).toBe(1);
  });

  it("expires with the first, and is worth nothing to who heard it", async () => {
    const hub = await openHub({ token: TOKEN });
    const ticket = mint();
    const { payload, key } = ticketOf(ticket);
    const said = await answerTo(hub, (challenge) => helloMessage(hello(), { ticket, challenge }));
    if (said.type !== "welcome" || !said.resume) throw new Error("no welcome with a resume");
    const heard = { payload: said.resume.subarray(32), key: said.resume.subarray(0, 32) };
    expect(decodePayload(heard.payload).expiresAt).toBe(decodePayload(payload).expiresAt);
    for (const guess of [heard.key, key]) {
      const text = ticketText({ payload: heard.payload, key: guess });
      await expect(come(hub, text)).rejects.toThrow(/ticket is not of this hub/);
    }
  });

  it("is not there for who holds the token", async () => {
    const hub = await openHub({ token: TOKEN });
    const joined = await connectWebSocket(hub.url, hello(), { timeoutMs: 5_000, token: TOKEN });
    onTestFinished(() => joined.socket.terminate());
    expect(joined.resume).toBeUndefined();
  });
});

describe("W12, S24 a hub that does not hold the token", () => {
  it.each([
    ["a token", () => ({ token: TOKEN }), /holds no token, and this rank holds one: start the hub with that token/],
    ["a ticket", () => ({ ticket: mint() }), /holds no token, and this rank came by a ticket: start the hub with that/],
  ])("is refused by a rank with %s", async (_, shown, text) => {
    const hub = await openHub();
    const refused = connectWebSocket(hub.url, hello(), { timeoutMs: 5_000, ...shown() });
    await expect(refused).rejects.toThrow(text);
    await expect(refused).rejects.toBeInstanceOf(AdmissionError);
    await vi.waitFor(() => expect(hub.stats.members).toBe(0));
  });

  /** A hub that answers every hello with `welcome`, and what a rank that holds the token says to it. */
  async function atRogue(welcome: (hello: Uint8Array, challenge: Uint8Array) => Uint8Array) {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    onTestFinished(() => void server.close());
    const heard: Buffer[] = [];
    server.on("connection", (ws) => {
      const challenge = makeNonce();
      ws.send(encodeHandshake({ type: "challenge", nonce: challenge }));
      ws.on("message", (data: Buffer) => {
        heard.push(data);
        ws.send(welcome(data, challenge));
        // A rank that trusted it would act on this.
        ws.send(Buffer.concat(encodeHubFrame({ type: "lost", rank: 1, reason: "a lie" })));
      });
    });
    await new Promise((resolve) => server.once("listening", resolve));
    const url = `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
    const options = { initMethod: `${url}/g`, rank: 0, worldSize: 2, token: TOKEN, timeoutMs: 5_000 };
    const error = await initProcessGroup(options).catch((thrown) => thrown);
    return { error, heard };
  }

  const WELCOME = { rank: 0, worldSize: 2, epoch: 0, hostRank: null, checksums: true };

  it("gets a hello and nothing more, whatever it answers", async () => {
    const recorded = encodeHandshake({ type: "welcome", welcome: WELCOME, resume: null, proof: makeNonce() });
    const mirrored = (said: Uint8Array) => {
      const message = decodeHandshake(said, ["hello"]);
      return encodeHandshake({
        type: "welcome",
        welcome: WELCOME,
        resume: null,
        proof: "proof" in message ? message.proof : null,
      });
    };
    const wrongKey = (said: Uint8Array, challenge: Uint8Array) => {
      const message = decodeHandshake(said, ["hello"]);
      if (message.type !== "hello") throw new Error("no hello");
      const over = welcomeBytes({ challenge, hello: message.nonce }, WELCOME, null);
      const proof = new Uint8Array(createHmac("sha256", "a guess").update(over).digest());
      return encodeHandshake({ type: "welcome", welcome: WELCOME, resume: null, proof });
    };
    for (const welcome of [() => recorded, mirrored, wrongKey]) {
      const { error, heard } = await atRogue(welcome);
      expect(error).toBeInstanceOf(AdmissionError);
      expect(error.message).toMatch(/did not prove that it holds this rank's token/);
      expect(heard.length).toBe(1);
      expect(decodeHandshake(heard[0]!, ["hello"]).type).toBe("hello");
    }
  });

  it("cannot play back the welcome that a right hub once gave, nor change what it says", async () => {
    const hub = await openHub({ token: TOKEN });
    const welcome = await answerTo(hub, (challenge) => helloMessage(hello(), { token: TOKEN, challenge }));
    if (welcome.type !== "welcome") throw new Error("no welcome");
    const { error } = await atRogue(() =>
      encodeHandshake({ ...welcome, welcome: { ...welcome.welcome, checksums: true } }),
    );
    expect(error.message).toMatch(/did not prove that it holds this rank's token/);
  });
});

describe("initProcessGroup({ ticket })", () => {
  it("makes one group of ranks that hold tickets and ranks that hold the token", async () => {
    const hub = await openHub({ token: TOKEN });
    const options = { initMethod: `${hub.url}/g`, worldSize: 3, timeoutMs: 20_000 };
    const groups = await Promise.all([
      initProcessGroup({ ...options, rank: 0, token: TOKEN }),
      initProcessGroup({ ...options, ticket: mint({ rank: 2 }) }),
      initProcessGroup({ ...options, rank: 1, ticket: mint() }),
    ]);
    const sums = await Promise.all(
      groups.map(async (group) => {
        const mine = new Float32Array(1_000).fill(1 + group.rank);
        await group.allReduce(mine);
        return mine[999];
      }),
    );
    expect(sums).toEqual([6, 6, 6]);
    expect(groups.map(({ rank }) => rank)).toEqual([0, 2, 1]);
    await Promise.all(groups.map((group) => group.destroy()));
  });

  it("is refused where there is no hub, and where this rank would have to host it", async () => {
    const ticket = mint();
    for (const initMethod of ["memory://tickets", "file:///tmp/webccl-tickets-none"]) {
      const refused = initProcessGroup({ initMethod, rank: 0, worldSize: 1, ticket });
      await expect(refused, initMethod).rejects.toThrow(/^the option ticket is for a hub/);
    }
    const host = initProcessGroup({ initMethod: "tcp://127.0.0.1:29999", rank: 0, worldSize: 1, ticket });
    await expect(host).rejects.toThrow(/rank 0 hosts the hub, which needs the token: a ticket is for the other ranks/);
  });
});

describe("HubStore.connect({ ticket })", () => {
  it("lets in with the role store, to the store that the ticket names", async () => {
    const hub = await openHub({ token: TOKEN });
    const store = await HubStore.connect(`${hub.url}/g`, { ticket: mint({ role: "store" }) });
    await store.set("key", "value");
    expect(Buffer.from(await store.get("key")).toString()).toBe("value");
    await expect(HubStore.connect(`${hub.url}/h`, { ticket: mint({ role: "store" }) })).rejects.toThrow(
      /for store "g", not "h"/,
    );
    await expect(HubStore.connect(`${hub.url}/g`, { ticket: mint() })).rejects.toThrow(/for a rank of a group/);
    await store.close();
  });
});
