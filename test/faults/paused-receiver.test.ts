import { fork } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { residentBytes, startJob } from "./job.ts";

const PAUSE_MS = 10_000;
const SAMPLE_MS = 100;
/** The eager budget and the hub's high water, and what an allocator may keep. */
const LIMIT = (16 + 32) * 2 ** 20;

const hubProgram = fileURLToPath(new URL("./programs/hub.mjs", import.meta.url));

// Each counts the memory of its own processes, and most of its time is the pause.
describe.concurrent("a receiver that is paused for 10 s under 1 GiB offered", () => {
  it.each(["websocket", "shared-file", "mapped-memory"])(
    "costs a sender over %s no memory beyond the high-water mark",
    {
      timeout: 120_000,
    },
    async (TRANSPORT) => {
      const growth = await offer({ TRANSPORT }, null);
      console.log(`${TRANSPORT}: sender grew by ${mib(growth.sender)} MiB`);
      expect(growth.sender).toBeLessThanOrEqual(LIMIT);
    },
  );

  it("costs neither the sender nor the hub that relays more than that", { timeout: 120_000 }, async () => {
    const hub = fork(hubProgram, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    try {
      const url = await new Promise<string>((resolve) => hub.once("message", (message) => resolve(String(message))));
      const before = residentBytes(hub.pid!);
      const growth = await offer({ TRANSPORT: "hub", WEBCCL_INIT_METHOD: `${url}/paused` }, { pid: hub.pid!, before });
      console.log(`sender grew by ${mib(growth.sender)} MiB, hub by ${mib(growth.hub)} MiB`);
      expect(growth.sender).toBeLessThanOrEqual(LIMIT);
      expect(growth.hub).toBeLessThanOrEqual(LIMIT);
    } finally {
      hub.kill();
    }
  });
});

/** Runs the job and returns the most that sender and hub grew while the receiver was paused. */
async function offer(
  env: Record<string, string>,
  hub: { pid: number; before: number } | null,
): Promise<{ sender: number; hub: number }> {
  const job = await startJob("paused.mjs", 2, { ...env, PAUSE_MS: String(PAUSE_MS) });
  try {
    const { message } = await job.reported(({ message }) => "offering" in message);
    const pid = message.pid as number;
    const before = message.offering as number;
    const growth = { sender: 0, hub: 0 };
    const resumed = job.reported(({ message }) => message.resumed === true);
    let done = false;
    void resumed.finally(() => {
      done = true;
    });
    while (!done) {
      growth.sender = Math.max(growth.sender, residentBytes(pid) - before);
      if (hub) growth.hub = Math.max(growth.hub, residentBytes(hub.pid) - hub.before);
      await Promise.race([resumed, delay(SAMPLE_MS)]);
    }
    const received = await job.reported(({ message }) => "received" in message);
    expect(received.message.received).toBe(2 ** 30);
    expect(job.reports.some(({ message }) => "wrong" in message)).toBe(false);
    expect((await job.ended).map(({ code }) => code)).toEqual([0, 0]);
    return growth;
  } finally {
    job.kill();
  }
}

const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
