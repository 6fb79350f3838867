import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { startJob } from "./job.ts";

const hubProgram = fileURLToPath(new URL("./programs/hub.mjs", import.meta.url));

describe("SIGKILL of a hub that stands alone", () => {
  it.each(["websocket", "hub"])(
    "ends every rank's call within 2 s, over %s, and the ranks exit",
    { timeout: 60_000 },
    async (transport) => {
      const hub = fork(hubProgram, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
      const url = await new Promise<string>((resolve) => hub.once("message", (message) => resolve(String(message))));
      const job = await startJob("reducing.mjs", 3, { TRANSPORT: transport, WEBCCL_INIT_METHOD: `${url}/group` });
      for (const rank of [0, 1, 2])
        await job.reported((report) => report.rank === rank && report.message.running === true);
      const killedAt = Date.now();
      hub.kill("SIGKILL");
      const ends = await job.ended;
      expect(ends).toEqual(Array(3).fill({ code: 0, signal: null }));
      const failures = job.reports.filter(({ message }) => "error" in message).map(({ message }) => message);
      expect(failures).toHaveLength(3);
      for (const failure of failures) {
        expect(failure).toMatchObject({ error: "HubLostError", code: "HUB_LOST" });
        expect(failure.text).toContain(url);
        expect((failure.at as number) - killedAt).toBeLessThanOrEqual(2_000);
      }
    },
  );
});
