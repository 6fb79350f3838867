/**
 * Doorkeeper: knows by their proofs those who hold the token of a hub or a rank, or a ticket under it, and proves the token to
 * them. Of a ticket nothing is kept before it is used; its id is kept from then on until it expires, and lets nobody in again.
 */
import { AdmissionError } from "../errors.ts";
import { hmac, sha256 } from "../packages/noble-hashes.ts";
import { now, randomBytes, wallTimeOf } from "../support/clock.ts";
import type { HandshakeMessage, Hello, Welcome } from "../wire/handshake.ts";
import { helloBytes, isEqual, maskBytes, masked, type Nonces, welcomeBytes } from "../wire/proof/proof.ts";
import {
  decodePayload,
  encodePayload,
  KEY_BYTES,
  MAX_PAYLOAD_BYTES,
  TICKET_ID_BYTES,
  type TicketFacts,
} from "../wire/proof/ticket.ts";

/** How many ids of tickets are kept before those that have expired are dropped for the first time. */
const FIRST_SWEEP = 1_024;

/** How often a ticket may let its holder come again, by the tickets for that, so that its ids cannot grow without end. */
const MOST_TIMES_AGAIN = 32;

/** Somebody whose proof was right. */
export interface Guest {
  /** The hello; of a ticket for one rank with that rank. */
  readonly hello: Hello;
  /** What the ticket says, or null for a holder of the token. */
  readonly ticket: TicketFacts | null;
  readonly nonces: Nonces;
  /** The key that both sides hold, or null where there is no token. */
  readonly key: Uint8Array | null;
}

/** The key of a ticket. */
export function ticketKey(token: string, payload: Uint8Array): Uint8Array {
  // Nothing else that is proved under the token begins so.
  const domain = encoder.encode("webccl ticket\0");
  const message = new Uint8Array(domain.length + payload.length);
  message.set(domain);
  message.set(payload, domain.length);
  return keyed(encoder.encode(token), message);
}

/** A ticket that is right lets nobody in any more, or not here. */
export class TicketError extends AdmissionError {}

/** See the file's head. */
export class Doorkeeper {
  readonly #token: string | undefined;
  /** When the tickets that were used expire, by their ids. */
  readonly #used = new Map<string, number>();
  /** Tickets for coming again that are not used: how many came before each of them, and when it expires, by their ids. */
  readonly #again = new Map<string, { readonly times: number; readonly expiresAt: number }>();
  #sweepAt = FIRST_SWEEP;

  /** Without a token everybody is let in, and nothing is proved. */
  constructor(token: string | undefined) {
    this.#token = token;
  }

  /** How many ids of used tickets are kept. */
  get usedTickets(): number {
    return this.#used.size;
  }

  /**
   * Whoever sent this hello in answer to that challenge; null if the proof is wrong.
   * @throws TicketError if it is right, and the ticket lets nobody in, or not here. ProtocolError if the ticket says nothing.
   */
  examine(challenge: Uint8Array, said: HandshakeMessage & { type: "hello" }): Guest | null {
    const { hello, ticket: payload } = said;
    const nonces = { challenge, hello: said.nonce };
    if (this.#token === undefined) return { hello, ticket: null, nonces, key: null };
    if (payload && payload.byteLength > MAX_PAYLOAD_BYTES) return null;
    const key = payload ? ticketKey(this.#token, payload) : encoder.encode(this.#token);
    if (!isEqual(keyed(key, helloBytes(nonces, hello)), said.proof)) return null;
    if (!payload) return { hello, ticket: null, nonces, key };
    const ticket = decodePayload(payload);
    return { hello: this.#admitted(hello, ticket), ticket, nonces, key };
  }

  /** The guest has been let in: its ticket is used. Returns what the welcome says besides. */
  welcome({ ticket, nonces, key }: Guest, welcome: Welcome): { resume: Uint8Array | null; proof: Uint8Array | null } {
    if (!key) return { resume: null, proof: null };
    const resume = ticket && this.#use(ticket, welcome.rank, keyed(key, maskBytes(nonces)));
    return { resume, proof: keyed(key, welcomeBytes(nonces, welcome, resume)) };
  }

  /** @throws TicketError if the ticket is not for this. */
  #admitted(hello: Hello, { id, group, rank, role, expiresAt }: TicketFacts): Hello {
    const lateMs = wallTimeOf(now()) - expiresAt;
    if (lateMs >= 0) {
      const late = `${(lateMs / 1000).toFixed(1)} s ago by this hub's clock`;
      throw new TicketError(`this ticket expired ${late}: get a new one from the server that minted it`);
    }
    const purpose = role === "rank" ? "hub" : "store";
    if (hello.purpose !== purpose) {
      throw new TicketError(
        `this ticket is for a ${role === "rank" ? "rank of a group" : "client of a store"}: mint one with another role`,
      );
    }
    if (hello.group !== group) {
      throw new TicketError(
        `this ticket is for ${role === "rank" ? "group" : "store"} "${group}", not "${hello.group}"`,
      );
    }
    if (rank !== null && hello.worldSize === 0) {
      throw new TicketError(`this ticket is for rank ${rank}, and a rank that joins a group has no number yet`);
    }
    if (rank !== null && hello.rank !== null && hello.rank !== rank) {
      throw new TicketError(`this ticket is for rank ${rank}, not for rank ${hello.rank}`);
    }
    if (this.#used.has(id.join())) {
      throw new TicketError(
        "this ticket has been used, and lets in once: get a new one from the server that minted it",
      );
    }
    if ((this.#again.get(id.join())?.times ?? 0) > MOST_TIMES_AGAIN) {
      throw new TicketError(
        `this ticket has let its holder come again ${MOST_TIMES_AGAIN} times: get a new one from the server that minted it`,
      );
    }
    return rank === null ? hello : { ...hello, rank };
  }

  /** The ticket is used. Returns one by which a rank may come again; clients of a store are no ranks, and any number may be there at once. */
  #use(ticket: TicketFacts, rank: number, mask: Uint8Array): Uint8Array | null {
    const id = ticket.id.join();
    const times = 1 + (this.#again.get(id)?.times ?? 0);
    this.#again.delete(id);
    this.#used.set(id, ticket.expiresAt);
    if (this.#used.size > this.#sweepAt) this.#sweep();
    if (ticket.role !== "rank") return null;
    const again = { ...ticket, id: randomBytes(TICKET_ID_BYTES), rank };
    this.#again.set(again.id.join(), { times, expiresAt: ticket.expiresAt });
    const payload = encodePayload(again);
    const resume = new Uint8Array(KEY_BYTES + payload.length);
    resume.set(masked(ticketKey(this.#token ?? "", payload), mask));
    resume.set(payload, KEY_BYTES);
    return resume;
  }

  /** Drops the ids of those that have expired, which let nobody in anyway. */
  #sweep(): void {
    const time = wallTimeOf(now());
    for (const [id, expiresAt] of this.#used) if (expiresAt <= time) this.#used.delete(id);
    for (const [id, { expiresAt }] of this.#again) if (expiresAt <= time) this.#again.delete(id);
    this.#sweepAt = FIRST_SWEEP + 2 * this.#used.size;
  }
}

const encoder = new TextEncoder();

const keyed = (key: Uint8Array, message: Uint8Array): Uint8Array => hmac(sha256, key, message);
