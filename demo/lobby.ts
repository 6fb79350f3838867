/**
 * Lobby: how tabs that come and go agree on groups. A group of webccl has its size from the start; the lobby is a room at
 * the hub that nobody has to fill, in whose store the tabs find each other and agree on rounds:
 *
 *   tab/<t>      what tab t says of itself           tabs     how many have come
 *   round/<n>    the tabs of group n, in rank order  rounds   how many there have been, or one less
 *   run/<n>/<k>  the k-th order to group n
 *
 * A tab that comes proposes the next round; so may anyone once a tab has left. The first proposal of a number holds. The hub lets
 * nobody into a room that a member has left: with the next round after that, all tabs leave the lobby and enter it anew.
 */
import { connectWebSocket } from "../src/browser/websocket-client.ts";
import { HubConnection } from "../src/link/hub/connection.ts";
import { HubStore } from "../src/store/hub-store.ts";

/** Room for tabs that come, over the life of a lobby. */
const MOST_TABS = 4_096;
const CONNECT_MS = 8_000;
const FOREVER_MS = 2 ** 31 - 1;

/** One group: its number, and its tabs in rank order. */
export interface Round {
  readonly number: number;
  readonly tabs: readonly number[];
}

export class Lobby {
  /** This tab's number. */
  readonly tab: number;
  #hasLeft = false;
  /** A name that no lobby before has had. */
  id = "";
  /** Called when a tab has gone. */
  onLeft: (tab: number) => void = () => {};
  /** Called when the hub has gone. */
  onClosed: () => void = () => {};
  readonly #connection: HubConnection;
  readonly #store: HubStore;
  readonly #gone = new Set<number>();

  private constructor(connection: HubConnection) {
    this.tab = connection.welcome.rank;
    this.#connection = connection;
    this.#store = new HubStore(connection);
    this.#store.timeoutMs = FOREVER_MS;
    const left = (tab: number) => {
      this.#gone.add(tab);
      this.onLeft(tab);
    };
    connection.start({
      onFrame: () => {},
      onFold: () => {},
      onDamaged: () => {},
      onLost: left,
      onLeft: left,
      onClosed: () => this.onClosed(),
    });
  }

  /** @throws AdmissionError if the hub refuses, TimeoutError if it does not answer. */
  static async enter(url: string, token: string | undefined): Promise<Lobby> {
    const hello = { group: "demo lobby", rank: null, worldSize: MOST_TABS, purpose: "hub", checksums: false } as const;
    const { socket, welcome } = await connectWebSocket(url, hello, { token, timeoutMs: CONNECT_MS });
    const lobby = new Lobby(new HubConnection(socket, welcome, url));
    const random = crypto.getRandomValues(new Uint32Array(2)).join("-");
    lobby.id = decode(await lobby.#store.compareSet("id", "", random));
    return lobby;
  }

  /** A call that the hub answers at once. */
  ping(): Promise<unknown> {
    return this.#store.check([]);
  }

  /** Tells the others of this tab, and gives the number of the next round. */
  async introduce(device: object): Promise<number> {
    await this.#store.set(`tab/${this.tab}`, JSON.stringify(device));
    await this.#store.add("tabs", 1);
    return this.#store.add("rounds", 0);
  }

  /** Proposes that all tabs that are here now are the next group. Nothing comes of it if this tab leaves meanwhile. */
  async propose(number: number): Promise<void> {
    try {
      await this.#propose(number);
    } catch (error) {
      if (!this.#hasLeft) throw error;
    }
  }

  async #propose(number: number): Promise<void> {
    const come = await this.#store.add("tabs", 0);
    const tabs = Array.from({ length: come }, (_, tab) => tab).filter((tab) => !this.#gone.has(tab));
    // With the proposer, so that of several tabs which propose the same at once only one counts the round.
    const text = JSON.stringify({ tabs, by: this.tab });
    if (decode(await this.#store.compareSet(`round/${number}`, "", text)) === text) await this.#store.add("rounds", 1);
  }

  /** The round of this number, once the tabs have agreed. */
  async round(number: number): Promise<Round> {
    const { tabs }: { tabs: number[] } = JSON.parse(decode(await this.#store.get(`round/${number}`)));
    return { number, tabs };
  }

  /** The descriptions of the tabs. */
  async devices<D>(tabs: readonly number[]): Promise<D[]> {
    const values = await this.#store.multiGet(tabs.map((tab) => `tab/${tab}`));
    return values.map((value) => JSON.parse(decode(value)));
  }

  /** Orders the k-th run of a round; if another tab was first, its order holds. */
  async order(round: number, k: number, order: object): Promise<void> {
    await this.#store.compareSet(`run/${round}/${k}`, "", JSON.stringify(order));
  }

  async ordered<T>(round: number, k: number): Promise<T> {
    return JSON.parse(decode(await this.#store.get(`run/${round}/${k}`)));
  }

  isGone(tab: number): boolean {
    return this.#gone.has(tab);
  }

  /** Has a tab gone since the lobby was made? Then nobody comes in any more. */
  hasLost(): boolean {
    return this.#gone.size > 0;
  }

  /** The others hear of it. */
  leave(): void {
    this.#hasLeft = true;
    this.onLeft = () => {};
    this.onClosed = () => {};
    this.#connection.close();
  }
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
