/**
 * Messages of CUDA memory: ncclSend and ncclRecv.
 *
 * NCCL matches what two ranks do by its order alone and knows no tags, and one communicator does one thing after the other.
 * So a message is announced on webccl's own link, which finds its receive; only then both sides launch it. Each direction of
 * a pair has a communicator to itself, on which both do so in the order in which messages met their receives: whatever a
 * program sends and receives in whichever order, neither waits for what the other has behind it.
 */
import type { WebcclError } from "../../errors.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import { isMessage, type MessageRequest, type Request } from "../../request.ts";
import type { CudaView } from "../../tensor/view.ts";
import { hash32 } from "../../wire/fingerprint.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
import { messageFingerprint } from "../direct/call-facts.ts";
import type { LazyCommunicator } from "./communicator.ts";
import { ncclFailure } from "./failure.ts";
import type { NcclCommunicator } from "./library.ts";
import { ON_DEVICE } from "./plan.ts";
import { type OnDevice, onDevice } from "./staging.ts";

type Message = MessageRequest & { tensor: CudaView };

/** Is it a message of CUDA memory? */
export function isCudaMessage(request: Request): request is Message {
  return isMessage(request) && request.tensor.memory === "cuda";
}

/** In a communicator of two: who sends, and who receives. */
const SENDER = 0;
const RECEIVER = 1;

/** The messages of one rank of a group. */
export class NcclMessages {
  readonly #channel: Channel;
  readonly #make: (key: string, rank: number, size: number) => LazyCommunicator;
  /** By direction, such as "0 to 2". */
  readonly #communicators = new Map<string, LazyCommunicator>();

  constructor(channel: Channel, make: (key: string, rank: number, size: number) => LazyCommunicator) {
    this.#channel = channel;
    this.#make = make;
  }

  run(message: Message, call: Call): Promise<number | undefined> {
    return message.collective === "send" ? this.#send(message, call) : this.#recv(message, call);
  }

  die(cause: WebcclError): void {
    for (const communicator of this.#communicators.values()) communicator.die(cause);
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#communicators.values()].map((communicator) => communicator.dispose()));
  }

  async #send({ tensor, peer, tag }: Message & { collective: "send" }, call: Call): Promise<undefined> {
    const channel = this.#channel;
    const placed = onDevice(tensor);
    const exchange = channel.pointToPoint.open(peer, envelope("send", placed, tag));
    try {
      await this.#offer(peer, exchange);
      await this.#launch(exchange, channel.rank, peer, placed, (way) => way.send(placed, RECEIVER));
    } catch (error) {
      call.overwritten = false;
      throw error;
    } finally {
      channel.pointToPoint.closeOutgoing(peer, exchange);
    }
  }

  async #recv(message: Message & { collective: "recv" | "recvAnySource" }, call: Call): Promise<number> {
    const { pointToPoint, rank } = this.#channel;
    const { collective, tensor, tag } = message;
    const placed = onDevice(tensor);
    const from = message.collective === "recv" ? message.peer : null;
    const fingerprint = envelope(collective, placed, tag);
    const { exchange, source } = await pointToPoint.match(call.sequence, from, fingerprint);
    call.overwritten = true;
    try {
      this.#channel.tell(source, { type: "point-to-point-ready", sequence: exchange.sequence });
      await this.#launch(exchange, source, rank, placed, (way) => way.recv(placed, SENDER));
      return source;
    } finally {
      pointToPoint.closeIncoming(source, exchange);
    }
  }

  /** Announces a message; resolves when it has met its receive. */
  async #offer(destination: number, exchange: ChannelExchange): Promise<void> {
    const { offers } = this.#channel.pointToPoint;
    let forget = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        offers.set(exchange, resolve);
        exchange.announce(destination);
        forget = exchange.watch({ missing: () => [destination], reject });
      });
    } finally {
      forget();
      offers.delete(exchange);
    }
  }

  /** Runs one side of a message on the communicator of its direction. Calls are launched in their order, also while it is made. */
  async #launch(
    exchange: ChannelExchange,
    source: number,
    destination: number,
    { count }: OnDevice,
    launch: (way: NcclCommunicator) => void,
  ): Promise<void> {
    if (count === 0) return;
    let running: Promise<void> = Promise.resolve();
    try {
      const way = await this.#way(source, destination).open();
      launch(way);
      running = way.flush();
      await running;
    } catch (error) {
      throw await ncclFailure(this.#channel, exchange, error, running);
    }
  }

  #way(source: number, destination: number): LazyCommunicator {
    const name = `${source} to ${destination}`;
    let communicator = this.#communicators.get(name);
    if (!communicator) {
      const place = source === this.#channel.rank ? SENDER : RECEIVER;
      communicator = this.#make(`nccl-unique-id/${name}`, place, 2);
      this.#communicators.set(name, communicator);
    }
    return communicator;
  }
}

function envelope(collective: "send" | "recv" | "recvAnySource", tensor: OnDevice, tag: number): Fingerprint {
  return { ...messageFingerprint(collective, tensor, tag), algorithm: hash32(ON_DEVICE) };
}
