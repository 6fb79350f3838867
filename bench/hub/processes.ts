/** The processes of a measurement. What is left of them ends with it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type HubProcess, startHubProcess } from "../../test/hub/hub-process.ts";

const open = new Set<{ kill(): unknown }>();

/** A hub alone in its process. */
export async function openHub(options: Parameters<typeof startHubProcess>[0] = {}): Promise<HubProcess> {
  const hub = await startHubProcess(options);
  open.add(hub);
  return hub;
}

/** A program of bench/hub/programs. */
export class Child {
  readonly #process: ChildProcess;

  /** `words` are its arguments. */
  constructor(name: string, ...words: readonly string[]) {
    const path = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
    this.#process = fork(path, words, {
      execArgv: ["--import", "tsx"],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    open.add(this);
  }

  /**
   * Sends a message, if there is one, and resolves with the next answer.
   * @throws Error if the program ends without one.
   */
  async ask<Answer>(message?: object): Promise<Answer> {
    const answer = once(this.#process, "message") as Promise<[Answer]>;
    const ended = once(this.#process, "exit").then(([code]) => {
      throw new Error(`a program ended with code ${code}`);
    });
    if (message) this.#process.send(message);
    const [said] = await Promise.race([answer, ended]);
    return said;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

export function endProcesses(): void {
  for (const one of open) one.kill();
  open.clear();
}
