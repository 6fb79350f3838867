/** The servers of this process that stores may share: those with `multiTenant`, by host and port. */
import { TcpServer, type TcpServerOptions } from "./tcp-server.ts";

/** A server as one of its stores holds it. */
export interface SharedServer {
  readonly port: number;
  joined(worldSize: number, timeoutMs: number): Promise<void>;
  /** The last that leaves closes it. */
  leave(): Promise<void>;
}

interface Entry {
  readonly server: Promise<TcpServer>;
  users: number;
}

const shared = new Map<string, Entry>();

/** The server at that place: one that is there already, if both it and this caller share. */
export async function joinServer(options: TcpServerOptions & { isShared: boolean }): Promise<SharedServer> {
  const { host, port, isShared } = options;
  const keyAt = (bound: number) => `${host} ${bound}`;
  const found = isShared ? shared.get(keyAt(port)) : undefined;
  const entry = found ?? { server: TcpServer.open(options), users: 0 };
  entry.users++;
  // Two that ask for the same port in one turn share it; for 0 each gets one of its own.
  if (isShared && port !== 0) shared.set(keyAt(port), entry);
  const forget = (bound: number) => {
    if (shared.get(keyAt(bound)) === entry) shared.delete(keyAt(bound));
  };
  try {
    const server = await entry.server;
    if (isShared) shared.set(keyAt(server.port), entry);
    let hasLeft = false;
    return {
      port: server.port,
      joined: (worldSize, timeoutMs) => server.joined(worldSize, timeoutMs),
      async leave() {
        if (hasLeft) return;
        hasLeft = true;
        entry.users--;
        if (entry.users > 0) return;
        forget(server.port);
        await server.close();
      },
    };
  } catch (error) {
    forget(port);
    throw error;
  }
}
