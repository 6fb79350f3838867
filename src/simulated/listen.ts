/** A port of a simulated process, where whoever connects is greeted as a server of Node greets. */
import type { Duplex } from "node:stream";
import type { Accept } from "../hub/admission.ts";
import { Doorkeeper } from "../hub/doorkeeper.ts";
import { greet } from "../node/greet.ts";
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
  const strangers = new Set<Duplex>();
  const greeting = { ...options, doorkeeper: new Doorkeeper(options.token) };
  const host = process.host;
  const port = network.listen(process, host, options.port ?? 0, (connection) => {
    const forget = () => strangers.delete(connection);
    strangers.add(connection);
    connection.once("close", forget);
    greet(connection, NOTHING, connection.other.host, greeting, accept, forget);
  });
  return {
    host,
    port: port.port,
    url: `ws://${host}:${port.port}`,
    close: async () => {
      network.unlisten(port);
      for (const connection of strangers) connection.destroy();
    },
  };
}
