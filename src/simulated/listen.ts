/** A port of a simulated process, where whoever connects is greeted as a server of Node greets. */
import type { Accept } from "../hub/admission.ts";
import { Doorkeeper } from "../hub/doorkeeper.ts";
import { greet, Pending } from "../node/greet.ts";
import type { Listener, ListenOptions } from "../platform.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { World } from "./world.ts";

const NOTHING = new Uint8Array(0);

/** Opens a port, as node/websocket-server.ts does. */
export function listen(
  { network }: World,
  process: SimulatedProcess,
  options: ListenOptions & { maxMessageBytes?: number },
  accept: Accept,
): Listener {
  const pending = new Pending(Number.POSITIVE_INFINITY);
  const greeting = { ...options, doorkeeper: new Doorkeeper(options.token) };
  const host = process.host;
  const port = network.listen(process, host, options.port ?? 0, (connection) => {
    greet(connection, NOTHING, connection.other.host, pending, greeting, accept);
  });
  return {
    host,
    port: port.port,
    url: `ws://${host}:${port.port}`,
    close: async () => {
      network.unlisten(port);
      for (const socket of pending.sockets) socket.terminate();
    },
  };
}
