/** Attendance: a tab's way through the rounds of its lobby. In each it is a rank of a group of the tabs that are there. */
import { initProcessGroup } from "../src/browser/index.ts";
import { WebcclError } from "../src/errors.ts";
import type { ProcessGroup } from "../src/group/process-group.ts";
import { byId, notice, status } from "./display.ts";
import { showJoin } from "./join.ts";
import { Lobby, type Round } from "./lobby.ts";

/** Time for other newcomers to be in the same round. */
const SETTLE_MS = 250;

/** What a page does in its rounds. */
export interface Attendant<D> {
  /** The command that starts the hub, for notices. */
  readonly command: string;
  /** Of the groups, in milliseconds. */
  readonly timeoutMs: number;
  /** This tab, as the others are told of it; `ping` is a call to the hub. */
  describe(ping: () => Promise<unknown>): Promise<D>;
  /** A round begins: its group is not there yet. */
  onRound(round: Round, devices: readonly D[]): void;
  /** Works with the round's group until `isSuperseded()`, or until the group has ended. It throws nothing. */
  work(group: ProcessGroup): Promise<void>;
  /** A rank of the round has gone. */
  onLeft(rank: number): void;
  /** The hub has gone. */
  onClosed(): void;
}

export class Attendance<D extends object> {
  readonly #attendant: Attendant<D>;
  /** The hub is where the page came from, in a folder too, as behind a proxy. */
  readonly #address = new URL(".", location.href).href.replace(/^http(.*)\/$/, "ws$1");
  #token: string | undefined;
  #lobby: Lobby | null = null;
  #round: Round | null = null;
  /** Resolves when the tabs have agreed on a later round. */
  #next: Promise<unknown> = Promise.resolve();
  #isSuperseded = false;
  #self: D | null = null;

  constructor(attendant: Attendant<D>) {
    this.#attendant = attendant;
    byId("go-on").addEventListener("click", () => {
      notice(null);
      this.goOn();
    });
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#token = byId<HTMLInputElement>("token").value;
      void this.enter();
    });
    void showJoin(attendant.command);
  }

  get lobby(): Lobby {
    if (!this.#lobby) throw new Error("this tab has not entered the lobby");
    return this.#lobby;
  }

  get round(): Round {
    if (!this.#round) throw new Error("this tab is in no round");
    return this.#round;
  }

  /** The tabs have agreed on a later round than this one. */
  isSuperseded(): boolean {
    return this.#isSuperseded;
  }

  /** Resolves when they have. */
  superseded(): Promise<unknown> {
    return this.#next;
  }

  /** Enters the lobby, or shows the obstacle; anew whenever its tabs go on without one that has left. */
  async enter(): Promise<void> {
    for (;;) {
      notice(null);
      const lobby = await this.#admitted();
      if (!lobby) return;
      status("Measuring this device…", "joining");
      this.#self ??= await this.#attendant.describe(() => lobby.ping());
      const next = await lobby.introduce(this.#self);
      setTimeout(() => void lobby.propose(next), SETTLE_MS);
      await this.#follow(lobby, next);
      lobby.leave();
      this.#round = null;
    }
  }

  async #admitted(): Promise<Lobby | null> {
    try {
      const lobby = await Lobby.enter(`${this.#address}/lobby`, this.#token);
      lobby.onLeft = (tab) => {
        const rank = this.#round?.tabs.indexOf(tab) ?? -1;
        if (rank >= 0) this.#attendant.onLeft(rank);
      };
      lobby.onClosed = () => {
        this.#attendant.onClosed();
        status("Not connected.", "ended");
        notice(`The hub is gone. Start it again (${this.#attendant.command}), then reload this page.`);
      };
      this.#lobby = lobby;
      return lobby;
    } catch (error) {
      const isEnding = error instanceof WebcclError && error.code === "ADMISSION" && /is ending/.test(error.message);
      if (!isEnding) {
        this.#explain(error);
        return null;
      }
      status("A tab has left. Waiting until the others go on without it…", "joining");
      return this.#admitted();
    }
  }

  /** Proposes the next round, with the tabs that are here. */
  goOn(): void {
    void this.lobby.propose(this.round.number + 1);
  }

  /** Says that the group has ended, and lets the user go on with the tabs that are here. */
  offerToGoOn(text: string): void {
    const left = this.round.tabs.filter((tab) => !this.lobby.isGone(tab)).length;
    status("The group has ended.", "ended");
    notice(text, left === 1 ? "Go on with 1 rank" : `Go on with ${left} ranks`);
  }

  #explain(error: unknown): void {
    status("Not joined.", "ended");
    if (error instanceof WebcclError && error.code === "ADMISSION" && /token/.test(error.message)) {
      notice(this.#token === undefined ? "This hub asks for a token." : "That is not this hub's token. Try again.");
      byId("token-form").hidden = false;
      byId("token").focus();
    } else {
      notice(`${(error as Error).message}. Reload the page when the hub is running (${this.#attendant.command}).`);
    }
  }

  /** Lives through one round after the other, until there is one for which the tabs must enter the lobby anew. */
  async #follow(lobby: Lobby, first: number): Promise<void> {
    for (let number = first; ; number++) {
      const round = await lobby.round(number);
      if (lobby.hasLost()) return;
      if (!round.tabs.includes(lobby.tab)) {
        // Agreed on before this tab was known: the next one will have it.
        void lobby.propose(number + 1);
        continue;
      }
      this.#isSuperseded = false;
      const devices = await lobby.devices<D>(round.tabs);
      this.#round = round;
      this.#attendant.onRound(round, devices);
      this.#next = lobby.round(number + 1).then(() => {
        this.#isSuperseded = true;
      });
      const group = await this.#join(round);
      if (group) await this.#attendant.work(group);
      await this.#next;
      await group?.destroy().catch(() => {});
    }
  }

  async #join({ number, tabs }: Round): Promise<ProcessGroup | null> {
    status(tabs.length === 1 ? "Joining…" : `Joining ${tabs.length - 1} others…`, "joining");
    try {
      const group = await initProcessGroup({
        initMethod: `${this.#address}/round-${this.lobby.id}-${number}`,
        ...{ rank: tabs.indexOf(this.lobby.tab), worldSize: tabs.length, timeoutMs: this.#attendant.timeoutMs },
        ...(this.#token === undefined ? {} : { token: this.#token }),
      });
      notice(null);
      return group;
    } catch (error) {
      if (!this.#isSuperseded) this.offerToGoOn(`The group did not come together: ${(error as Error).message}`);
      return null;
    }
  }
}
