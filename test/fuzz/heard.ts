/** Heard: all that a rank or a client was told in a session. What its calls give must be among it. */
import { isDeepStrictEqual } from "node:util";
import { ProtocolError } from "../../src/errors.ts";
import { splitFrame } from "../../src/link/payload/fragments.ts";
import { decodeControl } from "../../src/wire/control.ts";
import { carriedBytes, decodeHeader, FrameKind } from "../../src/wire/frame.ts";
import { GROUP } from "./draws.ts";

/** See the file's head. */
export class Heard {
  /** Parts by the number of their call and their slot, as text. */
  readonly #parts = new Map<string, Set<string>>();
  readonly #results = new Map<number, unknown[]>();

  /** A message was sent, mutated or not. */
  add(message: Uint8Array): void {
    try {
      const { head, payload } = splitFrame([message]);
      const header = decodeHeader(head);
      if (carriedBytes(header) !== payload.byteLength) return;
      if (header.kind === FrameKind.CONTROL) this.#addResult(decodeControl(payload.toBytes()));
      if (header.kind === FrameKind.DATA && header.group === GROUP) {
        const key = `${header.sequence} ${header.slot}`;
        const parts = this.#parts.get(key) ?? new Set();
        this.#parts.set(key, parts.add(textOf(payload.toBytes())));
      }
    } catch (error) {
      // Nobody takes what is no frame.
      if (!(error instanceof ProtocolError)) throw error;
    }
  }

  /** @throws Error if nobody sent this part of that call. */
  expectPart(sequence: number, slot: number, part: Uint8Array): void {
    if (this.#parts.get(`${sequence} ${slot}`)?.has(textOf(part))) return;
    throw new Error(`call ${sequence} got ${textOf(part)}, which nobody sent for slot ${slot}`);
  }

  /** @throws Error if nobody answered that store call so. */
  expectResult(id: number, result: unknown): void {
    if (this.#results.get(id)?.some((sent) => isDeepStrictEqual(sent, result))) return;
    throw new Error(`store call ${id} got ${JSON.stringify(result)}, which nobody answered`);
  }

  #addResult(message: unknown): void {
    const { type, id, ok } = (message ?? {}) as { type?: unknown; id?: unknown; ok?: unknown };
    if (type !== "result" || typeof id !== "number") return;
    this.#results.set(id, [...(this.#results.get(id) ?? []), ok]);
  }
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
