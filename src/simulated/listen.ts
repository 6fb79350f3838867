/** A port of a simulated process, where whoever connects is greeted as a server of Node greets. */
import type { Duplex } from "node:stream";
import type { Socket } from "../link/link.ts";
import { greet } from "../node/greet.ts";
import type { Listener, ListenOptions } from "../platform.ts";
import type { Hello, Welcome } from "../wire/handshake.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { World } from "./world.ts";

const NOTHING = new Uint8Array(0);

/** Opens a port, as node/websocket-server.ts does. */
export function listen(
  { network }: World,
  process: SimulatedProcess,
  options: ListenOptions & { maxMessageBytes?: number },
  accept: (hello: Hello, socket: Socket) => Welcome,
): Listener {
  const strangers = new Set<Duplex>();
  const host = process.host;
  const port = network.listen(process, host, options.port ?? 0, (connection) => {
    const forget = () => strangers.delete(connection);
    strangers.add(connection);
    connection.once("close", forget);
    greet(connection, NOTHING, options, accept, forget);
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
