/** Tickets for pages, which a server of the user's mints. */
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { now, randomBytes, wallTimeOf } from "../support/clock.ts";
import { checkGroupName, MAX_WORLD_SIZE } from "../wire/handshake.ts";
import { encodePayload, TICKET_ID_BYTES, TICKET_ROLES, ticketText } from "../wire/proof/ticket.ts";
import { ticketKey } from "./doorkeeper.ts";

/** Options of {@link mintTicket}. */
export interface MintTicketOptions {
  /** The group that its holder may join: the path of the hub's address, or `groupName`. */
  group: string;
  /** The rank that its holder becomes. Default: any that is free, or the one for which it asks. */
  rank?: number | undefined;
  /** "rank" to join the group, "store" to use the store of that name by `HubStore.connect`. Default: "rank". */
  role?: "rank" | "store" | undefined;
  /** Until when it lets in, in milliseconds since 1970, by the hub's clock: at most 24 hours from now. Who is in stays in. */
  expiresAt: number;
  /** Most bytes of its holder that wait in the hub, at least 8 MiB: it is held back at half of them. Default: as any rank's. */
  maxBytesInFlight?: number | undefined;
}

const MINT_TICKET_OPTIONS: OptionNames<MintTicketOptions> = {
  ...{ group: true, rank: true, role: true, expiresAt: true, maxBytesInFlight: true },
};

const LONGEST_MS = 24 * 3_600_000;
/** Folds of a call that is alone may have so many at the hub, twice over. */
const LEAST_IN_FLIGHT = 8 * 2 ** 20;

/**
 * Makes a ticket: a text by which a page joins one group, once, without the token. Give it to the page over https, as the option
 * `ticket` of `initProcessGroup`. `token` is the hub's. It has no state: a hub knows a ticket by its token alone.
 * @throws TypeError or RangeError if an option is missing or out of range, or the token is empty.
 */
export function mintTicket(token: string, options: MintTicketOptions): string {
  checkOptions("mintTicket", MINT_TICKET_OPTIONS, options);
  const { group, rank = null, role = "rank", expiresAt, maxBytesInFlight = null } = options;
  if (typeof token !== "string" || token === "") {
    throw new TypeError("mintTicket: the first argument is the hub's token, a string that is not empty");
  }
  checkGroupName(group, "mintTicket: group");
  if (!TICKET_ROLES.includes(role)) {
    throw new RangeError(`mintTicket: role is ${JSON.stringify(role)}: use one of ${TICKET_ROLES.join(", ")}`);
  }
  if (rank !== null && role === "store") throw new RangeError('mintTicket: a ticket with role "store" has no rank');
  checkWhole("rank", rank, 0, MAX_WORLD_SIZE - 1);
  checkWhole("maxBytesInFlight", maxBytesInFlight, LEAST_IN_FLIGHT, Number.MAX_SAFE_INTEGER);
  const time = wallTimeOf(now());
  if (typeof expiresAt !== "number" || !(expiresAt > time && expiresAt <= time + LONGEST_MS)) {
    throw new RangeError(
      `mintTicket: expiresAt is ${String(expiresAt)}: a time from now to 24 hours from now is needed, in milliseconds since 1970`,
    );
  }
  const id = randomBytes(TICKET_ID_BYTES);
  const payload = encodePayload({ id, group, rank, role, expiresAt: Math.floor(expiresAt), maxBytesInFlight });
  return ticketText({ payload, key: ticketKey(token, payload) });
}

function checkWhole(name: string, value: unknown, min: number, max: number): void {
  if (value === null || (Number.isInteger(value) && (value as number) >= min && (value as number) <= max)) return;
  throw new RangeError(`mintTicket: ${name} is ${String(value)}: a whole number from ${min} to ${max} is needed`);
}
