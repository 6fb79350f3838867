/** Doors: the ports of this machine at which a server listens, one for each address that its host name has here. */
import { lookup } from "node:dns/promises";
import { type AddressInfo, createServer, isIP, type Server } from "node:net";
import { CALLED_TWICE } from "../support/called-twice.ts";

/** The addresses that a host has here, of both families where it has both; none if nobody knows it. */
export async function addressesOf(host: string): Promise<string[]> {
  if (isIP(host) !== 0) return [host];
  const found = await lookup(host, { all: true }).catch(() => []);
  return [...new Set(found.map(({ address }) => address))];
}

/**
 * Opens the port at each address that this machine has, and hands `server` what comes to any of them.
 * @throws RangeError if it is in use or out of reach at one of them, or if there is none, or none that this machine has.
 */
export async function openAll(
  server: Server,
  host: string,
  addresses: readonly string[],
  port: number,
): Promise<Server[]> {
  if (addresses.length === 0) {
    throw new RangeError(`${host} is no name of which this machine knows an address: choose another one`);
  }
  const doors: Server[] = [];
  let absent: unknown = null;
  for (const address of addresses) {
    const door = doors.length === 0 ? server : createServer((socket) => server.emit("connection", socket));
    try {
      await open(door, address, (doors[0]?.address() as AddressInfo | undefined)?.port ?? port);
      doors.push(door);
    } catch (cause) {
      absent = cause;
      if (isAbsent(cause)) continue;
      for (const opened of doors) opened.close();
      throw unopened(host, port, cause);
    }
  }
  if (doors.length === 0) throw unopened(host, port, absent);
  return doors;
}

function open(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // In a worker of node:cluster, a port that is not exclusive is the primary's, and connections go to any of its workers.
    server.listen({ port, host, exclusive: true }, () => resolve());
  });
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? "";

/** Has this machine no such address, or no such family of addresses? */
const isAbsent = (error: unknown) => ["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes(codeOf(error));

function unopened(host: string, port: number, cause: unknown): RangeError {
  const where = `port ${port} on ${host}`;
  const texts: Readonly<Record<string, string>> = {
    EADDRINUSE: `${where} is already in use: end the program that has it, or choose another port (MASTER_PORT, --port; 0 picks a free one); ${CALLED_TWICE}`,
    EACCES: `${where} may not be opened by this user: choose a port above 1023 (MASTER_PORT, --port)`,
    EADDRNOTAVAIL: `${where} could not be opened: it is no address of this machine: choose one that is (--host), or start rank 0 where MASTER_ADDR is`,
  };
  return new RangeError(texts[codeOf(cause)] ?? `${where} could not be opened: ${(cause as Error).message}`, { cause });
}
