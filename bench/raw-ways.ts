/** What two tabs of one browser could do by themselves: a WebSocket to a server that passes on, and a MessagePort. */
import { openPortExchange } from "../src/browser/port-exchange.ts";
import type { ProcessGroup } from "../src/group/process-group.ts";
import { assembled, inbox } from "./inbox.ts";

const MESSAGE_BYTES = 512 * 1024;

/** One way, of which both tabs have an end; the first sends `bytes`, and has an answer when the other has them. */
export type RawWay = (bytes: number) => Promise<void>;

/** A WebSocket to the server at `url`. */
export async function rawSocket(url: string, sends: boolean): Promise<RawWay> {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const next = inbox<ArrayBuffer>((take) => {
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => take(data);
  });
  await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
  return async (bytes) => {
    if (sends) {
      const data = new Uint8Array(bytes);
      for (let at = 0; at < bytes; at += MESSAGE_BYTES) socket.send(data.subarray(at, at + MESSAGE_BYTES));
      await next();
    } else {
      await assembled(next, bytes);
      socket.send(new Uint8Array(1));
    }
  };
}

/** A MessagePort between ranks 0 and 1 of `group`, by which they find each other. */
export async function rawPort(group: ProcessGroup): Promise<RawWay> {
  const exchange = await openPortExchange();
  const given = new Promise<MessagePort>((resolve) => {
    exchange.onPort = (_, port) => resolve(port);
  });
  const seats = await group.allGatherObject(exchange.seat);
  const { port1, port2 } = new MessageChannel();
  if (group.rank === 0) exchange.give(seats[1]!, port2);
  const port = group.rank === 0 ? port1 : await given;
  const next = inbox<unknown>((take) => {
    port.onmessage = ({ data }) => take(data);
  });
  return async (bytes) => {
    const data = new Uint8Array(group.rank === 0 ? bytes : 0);
    if (group.rank === 0) port.postMessage(data.buffer, [data.buffer]);
    await next();
    if (group.rank === 1) port.postMessage("got");
  };
}
