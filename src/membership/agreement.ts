/**
 * Agreement: one rank's part in one epoch change, from its call of `shrink` or `admit` to the verdict. The states, messages and
 * invariants are in docs/membership.md.
 *
 * A rank follows the first member that it can reach, and leads if that is itself. As members are only ever given up, each of its
 * leaders comes after the one before in the order of members: a leader's seat is its ballot, in that order, and "here" is the promise
 * to take nothing of an earlier one (Lamport, "Paxos Made Simple", 2001, with one ballot for each leader).
 */
import { AdmissionError, fromWireError, TimeoutError, toWireError } from "../errors.ts";
import { startTimer, type Timer } from "../support/clock.ts";
import type { Ballots } from "./ballots.ts";
import type { Joiner, Kind, Message } from "./messages.ts";
import { chooseMembers, type Verdict } from "./verdict.ts";

/** How long a rank is waited for that the death of the group was blamed on, in milliseconds. */
const SILENT_MS = 1_000;
/** How long members and those that join may take to link, and voters to vote, in milliseconds. */
const STEP_MS = 5_000;

/** What an agreement needs of its rank. */
export interface Surroundings {
  /** Is there a link to this seat? */
  reaches(seat: number): boolean;
  tell(seat: number, message: Message): void;
  /** Is the group dead here? */
  isDead(): boolean;
  /** Those that knock at the store. */
  knocking(): Promise<Joiner[]>;
  /** As leader: tells those that knock with whom to link. */
  invite(joiners: readonly Joiner[]): Promise<void>;
  /** Links this rank to them; resolves to the seats with which that did not work in time. */
  link(joiners: readonly Joiner[], limitMs: number): Promise<number[]>;
  /**
   * As leader: the verdict, which is another's if that came first. `vote` has the proposal voted on, and fails without a majority
   * of so many voters.
   * @throws AdmissionError if this side may decide nothing; TimeoutError if the store does not answer.
   */
  decide(proposal: Verdict, vote: (proposal: Verdict, voters: number) => Promise<Verdict>): Promise<Verdict>;
}

/** One rank's part in one change. */
export interface AgreementOptions {
  readonly group: string;
  readonly epoch: number;
  /** This rank's seat. It is none of the members if it joins. */
  readonly own: number;
  /** The members of the epoch that ends, in order. */
  readonly members: readonly number[];
  readonly kind: Kind;
  /** How long members are waited for. */
  readonly timeoutMs: number;
  /** Members that the group's death was blamed on. */
  readonly silent: readonly number[];
  readonly ballots: Ballots;
  readonly surroundings: Surroundings;
}

/** What a rank has said with "here". */
type Voice = Omit<Extract<Message, { type: "here" }>, "type" | "epoch">;

/** See the file's head. */
export class Agreement {
  /** The verdict; null if an admit found nobody who waits. */
  readonly outcome: Promise<Verdict | null>;
  readonly #options: AgreementOptions;
  readonly #name: string;
  readonly #voices = new Map<number, Voice>();
  /** What each member said of its links to those that join. */
  readonly #linked = new Map<number, readonly number[]>();
  readonly #givenUp = new Set<number>();
  /** Leaders that can decide nothing. */
  readonly #resigned = new Set<number>();
  readonly #votes = new Set<number>();
  readonly #timers = new Set<Timer>();
  #leader = -1;
  #patience: Timer | null = null;
  #watchers: (() => void)[] = [];
  #settle: (verdict: Verdict | null) => void = () => {};
  #fail: (error: Error) => void = () => {};
  #isOver = false;

  constructor(options: AgreementOptions) {
    this.#options = options;
    this.#name = `group "${options.group}"`;
    this.outcome = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#fail = reject;
    });
    this.outcome.catch(() => {});
  }

  /** Begins, once the messages that came before have been handed over. */
  start(): void {
    if (!this.#isOver) this.#follow();
  }

  /** A link has gone. */
  onChange(): void {
    if (this.#isOver) return;
    this.#follow();
    this.#tick();
  }

  /** A message of `from` about this epoch. */
  onMessage(from: number, message: Message): void {
    if (this.#isOver) return;
    switch (message.type) {
      case "here":
        this.#voices.set(from, message);
        if (this.#leader === this.#options.own) this.#tell(from, { type: "leading" });
        break;
      case "leading":
        if (from === this.#leader) this.#bePatient(this.#options.timeoutMs + 2 * STEP_MS);
        break;
      case "link":
        void this.#link(message.joiners).then((unreachable) => this.#tell(from, { type: "linked", unreachable }));
        break;
      case "linked":
        this.#linked.set(from, message.unreachable);
        break;
      case "propose":
        if (!this.#options.ballots.mayTake(message.ballot)) break;
        this.#options.ballots.accepted = message;
        this.#tell(from, { type: "accepted", ballot: message.ballot });
        break;
      case "accepted":
        if (message.ballot === this.#options.own) this.#votes.add(from);
        break;
      case "verdict":
        this.#conclude(message.verdict);
        break;
      case "resigned":
        this.#resigned.add(from);
        this.#giveUp(from);
        break;
      case "ended":
        this.#options.ballots.withdraw(from);
        // Another than the leader may find that an admit takes too long: the group is dead then.
        if (from !== this.#leader && (!message.error || this.#options.kind !== "admit")) break;
        this.#end(message.error && fromWireError(message.error));
        break;
    }
    this.#tick();
  }

  /** Nobody waits for the outcome any more. */
  close(error: Error): void {
    if (!this.#isOver) this.#end(error);
  }

  #follow(): void {
    const { own, members, silent, timeoutMs, ballots } = this.#options;
    const leader = members.find((seat) => seat === own || (this.#canHear(seat) && !this.#givenUp.has(seat)));
    if (leader === undefined) {
      this.#end(new AdmissionError(`${this.#name} has no member left that this rank can reach`));
    } else if (leader !== this.#leader) {
      this.#leader = leader;
      if (leader !== own) ballots.promise(leader);
      this.#patience?.cancel();
      if (leader === own) void this.#lead().catch((error) => this.#end(error));
      else {
        this.#tell(leader, { type: "here", ...this.#voice() });
        this.#bePatient(silent.includes(leader) ? Math.min(SILENT_MS, timeoutMs) : timeoutMs);
      }
    }
  }

  #voice(): Voice {
    const { kind, members, own, ballots } = this.#options;
    const seats = [...members, ...[...this.#voices.keys()].filter((seat) => !members.includes(seat))];
    const unreachable = seats.filter((seat) => seat !== own && !this.#canHear(seat));
    return { kind, unreachable, accepted: ballots.accepted };
  }

  async #lead(): Promise<void> {
    const { own, members, kind, surroundings } = this.#options;
    this.#voices.set(own, this.#voice());
    for (const seat of this.#voices.keys()) if (seat !== own) this.#tell(seat, { type: "leading" });
    await this.#gather();
    const isAdmit = kind === "admit" && this.#here().every((seat) => this.#voices.get(seat)?.kind === "admit");
    // A leader before this one that did not come in time is missing, too.
    if (isAdmit && !surroundings.isDead() && this.#missing().length > 0) return this.#announceEnd(this.#timeout());
    const joiners = isAdmit ? await this.#letIn() : [];
    const seats = [...members, ...joiners.map(({ seat }) => seat)];
    const unreachable = new Map([...this.#voices].map(([seat, voice]) => [seat, this.#unreachableFrom(seat, voice)]));
    for (const seat of unreachable.keys()) if (seat !== own && !this.#canHear(seat)) unreachable.delete(seat);
    const chosen = chooseMembers(seats, unreachable);
    const isSame = chosen.join() === members.join();
    if (isAdmit && isSame && !surroundings.isDead()) this.#announceEnd(null);
    else await this.#decide({ epoch: this.#options.epoch, members: chosen, hub: null }, joiners);
  }

  /** Waits for a "here" of every member that can be reached. */
  async #gather(): Promise<void> {
    const { timeoutMs, silent } = this.#options;
    const awaited = () => this.#missing().filter((seat) => !this.#givenUp.has(seat));
    this.#after(Math.min(SILENT_MS, timeoutMs), () => {
      for (const seat of awaited()) if (silent.includes(seat)) this.#giveUp(seat);
    });
    this.#after(timeoutMs, () => {
      if (awaited().length === 0) return;
      const voices = [...this.#voices.values()];
      if (voices.every(({ kind }) => kind === "admit")) this.#announceEnd(this.#timeout());
      else for (const seat of awaited()) this.#giveUp(seat);
    });
    await this.#until(() => awaited().length === 0);
  }

  /** Members that can be reached and have said nothing of this change. */
  #missing(): number[] {
    const { members, own } = this.#options;
    const isHeard = (seat: number) => this.#voices.has(seat) || this.#resigned.has(seat);
    return members.filter((seat) => seat !== own && this.#canHear(seat) && !isHeard(seat));
  }

  /** Those that knocked, linked with the members as far as that works. */
  async #letIn(): Promise<Joiner[]> {
    const { surroundings } = this.#options;
    try {
      const joiners = await surroundings.knocking();
      if (joiners.length === 0) return [];
      // This rank's links to them first: through a hub, what they say at once would find none.
      const linking = this.#linkAll(joiners);
      await surroundings.invite(joiners);
      await linking;
      return joiners;
    } catch {
      // The store is gone: who decides, finds out.
      return [];
    }
  }

  async #linkAll(joiners: readonly Joiner[]): Promise<void> {
    const { own } = this.#options;
    const followers = this.#here().filter((seat) => seat !== own);
    for (const seat of followers) this.#tell(seat, { type: "link", joiners });
    void this.#link(joiners).then((unreachable) => {
      this.#linked.set(own, unreachable);
      this.#tick();
    });
    const pending = () =>
      this.#here().some((seat) => !this.#linked.has(seat)) || joiners.some(({ seat }) => !this.#isIn(seat));
    await this.#until(() => !pending(), STEP_MS + 500);
    const all = joiners.map(({ seat }) => seat);
    for (const seat of this.#here()) if (!this.#linked.has(seat)) this.#linked.set(seat, all);
  }

  /** One that joins has said that it is linked, or cannot be. */
  #isIn(seat: number): boolean {
    const cannot = this.#linked.get(this.#options.own)?.includes(seat) ?? false;
    return this.#voices.has(seat) || cannot;
  }

  #link(joiners: readonly Joiner[]): Promise<number[]> {
    return this.#options.surroundings.link(joiners, STEP_MS).catch(() => joiners.map(({ seat }) => seat));
  }

  #unreachableFrom(seat: number, { unreachable }: Voice): number[] {
    return [...unreachable, ...(this.#linked.get(seat) ?? [])];
  }

  async #decide(proposal: Verdict, joiners: readonly Joiner[]): Promise<void> {
    const { own, surroundings } = this.#options;
    let verdict: Verdict;
    try {
      verdict = await surroundings.decide(proposal, (value, voters) => this.#vote(value, voters));
    } catch (error) {
      // A store that does not answer this rank answers no other. One to which this rank alone has lost its way may.
      if (error instanceof TimeoutError) return this.#announceEnd(error);
      for (const seat of this.#voices.keys()) if (seat !== own) this.#tell(seat, { type: "resigned" });
      throw error;
    }
    for (const seat of [...this.#options.members, ...joiners.map((joiner) => joiner.seat)]) {
      if (seat !== own && this.#canHear(seat)) this.#tell(seat, { type: "verdict", verdict });
    }
    this.#conclude(verdict);
  }

  /** Has the members vote, and resolves to the verdict that a majority of `voters` has taken. */
  async #vote(proposal: Verdict, voters: number): Promise<Verdict> {
    const { own, ballots } = this.#options;
    const here = this.#here();
    if (here.length * 2 <= voters) throw this.#minority(here.length, voters);
    ballots.promise(own);
    const votes = here.flatMap((seat) => this.#voices.get(seat)?.accepted ?? []);
    votes.sort((a, b) => ballots.compare(b.ballot, a.ballot));
    const verdict = votes[0]?.verdict ?? proposal;
    ballots.accepted = { ballot: own, verdict };
    this.#votes.add(own);
    for (const seat of here) if (seat !== own) this.#tell(seat, { type: "propose", ballot: own, verdict });
    const isWon = () => this.#votes.size * 2 > voters;
    await this.#until(isWon, STEP_MS);
    if (!isWon()) throw this.#minority(this.#votes.size, voters);
    return verdict;
  }

  /** Members that are here and can be reached. */
  #here(): number[] {
    const { members, own } = this.#options;
    return members.filter((seat) => this.#voices.has(seat) && (seat === own || this.#canHear(seat)));
  }

  #canHear(seat: number): boolean {
    return this.#options.surroundings.reaches(seat);
  }

  #conclude(verdict: Verdict): void {
    const { own, epoch } = this.#options;
    const isIn = verdict.epoch === epoch && verdict.members.includes(own);
    // Members that said "here" to this rank may know of no other that has the verdict.
    for (const seat of this.#voices.keys()) if (seat !== own) this.#tell(seat, { type: "verdict", verdict });
    if (isIn) {
      this.#over(() => this.#settle(verdict));
      return;
    }
    const text = `${this.#name}: epoch ${verdict.epoch} goes on without this rank, which did not answer or lost its links`;
    this.#end(new AdmissionError(`${text}: it may join anew (initProcessGroup with join: true)`));
  }

  #announceEnd(error: TimeoutError | null): void {
    const { own, members } = this.#options;
    const notIn = new AdmissionError(`${this.#name} goes on without this rank, which was not linked to all in time`);
    for (const seat of new Set([...members, ...this.#voices.keys()])) {
      const told = members.includes(seat) ? error : notIn;
      if (seat !== own && this.#canHear(seat)) this.#tell(seat, { type: "ended", error: told && toWireError(told) });
    }
    this.#end(error);
  }

  #end(error: Error | null): void {
    this.#over(() => (error ? this.#fail(error) : this.#settle(null)));
  }

  #over(settle: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#patience?.cancel();
    for (const timer of this.#timers) timer.cancel();
    settle();
  }

  #giveUp(seat: number): void {
    this.#givenUp.add(seat);
    this.#voices.delete(seat);
    this.#follow();
    this.#tick();
  }

  /** Until a sign of the leader comes. */
  #bePatient(ms: number): void {
    this.#patience?.cancel();
    const leader = this.#leader;
    this.#patience = startTimer(ms, () => this.#giveUp(leader));
  }

  #after(ms: number, fire: () => void): void {
    this.#timers.add(startTimer(ms, () => !this.#isOver && fire()));
  }

  /** Resolves when `holds` does, or after `limitMs`. It is asked again at every event. */
  #until(holds: () => boolean, limitMs = Number.POSITIVE_INFINITY): Promise<void> {
    return new Promise((resolve) => {
      const timer = startTimer(limitMs, resolve);
      this.#timers.add(timer);
      const watcher = () => {
        if (!holds()) return;
        this.#watchers = this.#watchers.filter((other) => other !== watcher);
        timer.cancel();
        resolve();
      };
      this.#watchers.push(watcher);
      watcher();
    });
  }

  #tick(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  #tell(seat: number, message: Unstamped<Message>): void {
    this.#options.surroundings.tell(seat, { ...message, epoch: this.#options.epoch } as Message);
  }

  #timeout(): TimeoutError {
    const { members, timeoutMs, group } = this.#options;
    const ranks = this.#missing().map((seat) => members.indexOf(seat));
    const text = `${this.#name}: admit did not end within ${timeoutMs} ms; missing: rank ${ranks.join(", rank ")}`;
    return new TimeoutError(text, { group, missingRanks: ranks });
  }

  #minority(here: number, voters: number): AdmissionError {
    return new AdmissionError(
      `${this.#name}: the store is gone, and ${here} of ${voters} members that may live are on this side: only a majority goes ` +
        "on. This rank may join the others anew (initProcessGroup with join: true)",
    );
  }
}

/** A message without its epoch. */
type Unstamped<M> = M extends unknown ? Omit<M, "epoch"> : never;
