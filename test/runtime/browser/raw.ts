/** A page's bare WebSocket: the bytes up to a server in messages of a segment each, then as many down. */
import { initProcessGroup } from "../../../src/browser/index.ts";
import type { RawJob, RawOutcome } from "../job.ts";

const MESSAGE_BYTES = 512 * 1024;

/** Measures in turns, so that a slow moment of the machine falls on both. */
export async function compareWithRaw({ raw: { url, bytes, times }, options }: RawJob): Promise<RawOutcome> {
  const group = await initProcessGroup({ ...options, transport: "hub" });
  const tensor = new Float32Array(bytes / 4);
  const message = new Uint8Array(MESSAGE_BYTES);
  const ws = new WebSocket(url);
  ws.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    ws.onopen = resolve;
    ws.onerror = reject;
  });
  const arrival = (bytesDue: number) =>
    new Promise<void>((resolve) => {
      let received = 0;
      ws.onmessage = ({ data }) => {
        received += data.byteLength;
        if (received >= bytesDue) resolve();
      };
    });
  const outcome: RawOutcome = { rawMs: [], hubMs: [] };
  for (let turn = 0; turn < times; turn++) {
    ws.send(new Uint8Array(1));
    await arrival(1);
    const rawStart = performance.now();
    for (let at = 0; at < bytes; at += MESSAGE_BYTES) ws.send(message);
    await arrival(bytes);
    outcome.rawMs.push(performance.now() - rawStart);
    await group.barrier();
    const hubStart = performance.now();
    await group.allReduce(tensor, { algorithm: "hub" });
    outcome.hubMs.push(performance.now() - hubStart);
  }
  ws.close();
  await group.destroy();
  return outcome;
}
