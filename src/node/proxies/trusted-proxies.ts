/** TrustedProxies: whose word is taken for the address from which somebody comes. */
import type { IncomingHttpHeaders } from "node:http";
import { BlockList, isIP } from "node:net";
import { addressIn } from "./addresses.ts";
import { hopsOfForwarded, hopsOfList } from "./forwarded.ts";

/** The networks that a word stands for. */
const WORDS: Readonly<Record<string, readonly string[]>> = { loopback: ["127.0.0.0/8", "::1/128"] };

/** See the file's head. */
export class TrustedProxies {
  readonly #networks = new BlockList();

  /**
   * `entries` are addresses, networks such as 10.0.0.0/8, or "loopback"; none: nobody's word is taken.
   * @throws RangeError that names one that is nothing of these.
   */
  constructor(entries: readonly string[] = []) {
    for (const entry of entries) for (const network of WORDS[entry] ?? [entry]) this.#add(network);
  }

  /**
   * The address of whoever made a request that came over a connection from `remoteAddress`: that one, unless it is a trusted
   * proxy's; then the last one that the headers name and that is not. X-Forwarded-For and Forwarded count where they say the
   * same, or where one is absent: proxies set one, and pass the other on as the client wrote it.
   */
  clientOf(remoteAddress: string, headers: IncomingHttpHeaders): string {
    if (!this.#trusts(remoteAddress)) return remoteAddress;
    const list = headers["x-forwarded-for"];
    const lists = [
      list === undefined ? undefined : hopsOfList(String(list)),
      headers.forwarded === undefined ? undefined : hopsOfForwarded(headers.forwarded),
    ];
    const told = lists.flatMap((hops) => (hops === undefined ? [] : [this.#lastOutside(hops ?? [], remoteAddress)]));
    const [first = remoteAddress, ...others] = told;
    return others.every((other) => other === first) ? first : remoteAddress;
  }

  /** The last hop that is no trusted proxy's; nothing before a hop without an address is believed. */
  #lastOutside(hops: readonly string[], remoteAddress: string): string {
    let client = remoteAddress;
    for (const hop of hops.toReversed()) {
      const address = addressIn(hop);
      if (address === null) break;
      client = address;
      if (!this.#trusts(address)) break;
    }
    return client;
  }

  #trusts(text: string): boolean {
    const address = addressIn(text);
    return address !== null && this.#networks.check(address, familyOf(address));
  }

  #add(network: string): void {
    const [text = "", prefix, more] = network.split("/");
    const address = addressIn(text);
    const isBare = address !== null && isIP(text) !== 0;
    const most = address === null || isIP(address) === 4 ? 32 : 128;
    const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
    if (!isBare || more !== undefined || bits < 0 || bits > most) {
      throw new RangeError(`"${network}" is no proxy: pass addresses, networks such as 10.0.0.0/8, or "loopback"`);
    }
    this.#networks.addSubnet(address, bits, familyOf(address));
  }
}

const familyOf = (address: string) => (isIP(address) === 6 ? "ipv6" : "ipv4");
