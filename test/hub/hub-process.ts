/** A hub in a process of its own, whose memory is measured from outside. For tests and for bench/hub/. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { HubServerStats, startHub } from "../../src/node/hub.ts";

/** See the file's head. */
export interface HubProcess {
  readonly url: string;
  /** The memory that it has now, in bytes, when its garbage is collected. */
  memory(): Promise<number>;
  /** Runs `attack`, and tells how many bytes of memory the hub had at most beyond what it had before. */
  growth(attack: () => Promise<unknown>): Promise<number>;
  stats(): Promise<HubServerStats>;
  readonly isAlive: boolean;
  kill(): void;
}

/** Starts one; whoever starts it kills it. */
export async function startHubProcess(options: Parameters<typeof startHub>[0] = {}): Promise<HubProcess> {
  const program = fileURLToPath(new URL("programs/hub.ts", import.meta.url));
  const execArgv = ["--expose-gc", "--import", "tsx"];
  const child = fork(program, [JSON.stringify(options)], { execArgv, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [url] = await once(child, "message");
  const ask = async (question: string) => {
    child.send(question);
    const [answer] = await once(child, "message");
    return answer;
  };
  return {
    url,
    memory: () => ask("begin"),
    async growth(attack) {
      const before = await ask("begin");
      await attack();
      return (await ask("end")) - before;
    },
    stats: () => ask("stats"),
    get isAlive() {
      return child.exitCode === null && child.signalCode === null;
    },
    kill: () => void child.kill("SIGKILL"),
  };
}
