/** A display without a screen, for browsers with windows. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";

/** A display: its name for DISPLAY, and its end. */
export interface Display {
  readonly name: string;
  close(): void;
}

/** Starts Xvfb at the first display that is free. */
export async function openDisplay(): Promise<Display> {
  const server = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1280x800x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const [number] = await Promise.race([
    once(server.stdio[3] as Readable, "data"),
    once(server, "exit").then(([code]) => {
      throw new Error(`Xvfb ended with ${code}`);
    }),
  ]);
  return { name: `:${String(number).trim()}`, close: () => void server.kill() };
}
