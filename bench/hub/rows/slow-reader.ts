/** R11: a rank that reads nothing, while another sends it as much as the hub takes. */
import { webSocketFrame } from "../../../test/fuzz/draws.ts";
import { dataFrame } from "../../../test/hub/frames.ts";
import { enter, type Hostile } from "../../../test/hub/hostile-member.ts";
import { Child, openHub } from "../processes.ts";
import { type Extent, MIB, type Part, type Row, round, toMib } from "../row.ts";

const PAYLOAD_BYTES = MIB;
/** A hub's default for what one rank may have waiting there. */
const CAP = 64 * MIB;
/** Beyond the time after which it is closed. */
const LATE_MS = 2_000;

async function slowReader({ seconds }: Extent): Promise<Row> {
  const slowReaderMs = seconds * 1_000;
  const hub = await openHub({ slowReaderMs, silenceMs: 4 * slowReaderMs });
  const healthy = new Child("healthy", hub.url);
  await healthy.ask();
  let heldMs = 0;
  let sent = 0;
  const growth = await hub.growth(async () => {
    const reader = await enter(hub, { rank: 1 });
    const sender = await enter(hub, { rank: 0 });
    reader.net.pause();
    const began = performance.now();
    const isOver = reader.closed.then(() => true);
    // `ws` hears nothing of a connection that it does not read.
    const isLost = lossAt(sender).then(() => true);
    const frame = webSocketFrame(Buffer.concat([dataFrame(1, PAYLOAD_BYTES), new Uint8Array(PAYLOAD_BYTES)]));
    for (;;) {
      const written = new Promise<false>((resolve) => sender.net.write(frame, () => resolve(false)));
      if (await Promise.race([written, isOver, isLost])) break;
      sent++;
    }
    heldMs = performance.now() - began;
    sender.ws.terminate();
    reader.ws.terminate();
  });
  const times = await healthy.ask<number[]>({});
  healthy.kill();
  hub.kill();
  const isKept = growth <= CAP + 32 * MIB && heldMs <= slowReaderMs + LATE_MS && times.length > 0;
  return {
    ...{
      id: "R11",
      what: `a reader that stands still for ${seconds} s`,
      target: "cap + 32 MiB, evicted in time",
      isKept,
    },
    measured: `+${toMib(growth)} MiB (cap ${toMib(CAP)}), evicted after ${round(heldMs / 1_000)} s`,
    figures: { growthMib: toMib(growth), heldMs: round(heldMs), sentMib: sent, roundsOfHealthy: times.length },
  };
}

/** Resolves when the hub tells a member that another one was lost. */
function lossAt({ ws }: Hostile): Promise<void> {
  return new Promise((resolve) => ws.on("message", (data: Buffer) => data.includes("lost") && resolve()));
}

export const reader: Part = {
  ids: ["R11"],
  async *measure(extent) {
    yield await slowReader(extent);
  },
};
