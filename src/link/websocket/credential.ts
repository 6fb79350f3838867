/**
 * Credential: by what a rank proves itself where it connects, and by what it knows the other side: the token of the group, or a
 * ticket. Loaded where there is one.
 */
import { AdmissionError } from "../../errors.ts";
import type { Hello, Welcome } from "../../wire/handshake.ts";
import { hmacSha256 } from "../../wire/hash.ts";
import { helloBytes, isEqual, maskBytes, masked, type Nonces, welcomeBytes } from "../../wire/proof/proof.ts";
import { KEY_BYTES, type Ticket, ticketOf, ticketText } from "../../wire/proof/ticket.ts";

/** The accepting side's answer, with its proof. */
export interface ProvenWelcome {
  readonly welcome: Welcome;
  readonly resume: Uint8Array | null;
  readonly proof: Uint8Array | null;
}

/** See the file's head. */
export class Credential {
  readonly #key: Uint8Array;
  readonly #ticket: Ticket | null;

  /** @throws TypeError if the ticket is none. */
  constructor({ token, ticket }: { token?: string | undefined; ticket?: string | undefined }) {
    this.#ticket = ticket === undefined ? null : ticketOf(ticket);
    this.#key = this.#ticket?.key ?? new TextEncoder().encode(token);
  }

  /** The part of the ticket that crosses the wire, or null. */
  get payload(): Uint8Array | null {
    return this.#ticket?.payload ?? null;
  }

  /** Why the other side may have refused, and the remedy. */
  get whyRefused(): string {
    return this.#ticket
      ? "Its ticket is not of this hub: it was altered, or minted with another token than the hub's"
      : "Its token is not the hub's: WEBCCL_TOKEN must be the same on every rank and the hub";
  }

  /** The proof of a hello. */
  prove(nonces: Nonces, hello: Hello): Promise<Uint8Array> {
    return hmacSha256(this.#key, helloBytes(nonces, hello));
  }

  /**
   * Checks that the other side holds the token too. Returns the ticket for coming again, if this rank came by one.
   * @throws AdmissionError if it does not.
   */
  async check(url: string, nonces: Nonces, { welcome, resume, proof }: ProvenWelcome): Promise<string | undefined> {
    if (proof === null) {
      throw new AdmissionError(
        `${url} holds no token, and this rank ${this.#ticket ? "came by a ticket" : "holds one"}: start the hub with that token ` +
          "(--token-file or WEBCCL_TOKEN), or this rank without one",
      );
    }
    if (!isEqual(await hmacSha256(this.#key, welcomeBytes(nonces, welcome, resume)), proof)) {
      throw new AdmissionError(
        `${url} did not prove that it holds this rank's token: it is another hub, or its answer was changed on the way`,
      );
    }
    if (!resume || !this.#ticket) return undefined;
    const mask = await hmacSha256(this.#key, maskBytes(nonces));
    return ticketText({ payload: resume.subarray(KEY_BYTES), key: masked(resume.subarray(0, KEY_BYTES), mask) });
  }
}
