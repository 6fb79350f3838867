/**
 * The worker of one rank that `spawnRanks` started: sets the rank's job up, runs the rank's module, and tells the page
 * how it ended. The page then ends it.
 */
import { toWireError, WebcclError, type WireError } from "../errors.ts";
import type { PageJob } from "./thread-job.ts";

/** What the page sends first. */
export interface Start {
  moduleUrl: string;
  /** The variables of env://. */
  environment: Readonly<Record<string, string>>;
  /** The job whose memory the ranks share; null where memory cannot be shared. */
  job: PageJob | null;
  /** Name of a lock that is this worker's as long as it lives; null where a page has no locks. */
  lock: string | null;
}

/**
 * What the worker tells the page among what its module posts: that it holds its lock, that the module has run, or with
 * what it ended.
 */
export interface Report {
  webccl: "holds lock" | "done" | { error: WireError | Error };
}

addEventListener("message", ({ data }: MessageEvent<Start>) => void run(data), { once: true });

async function run({ moduleUrl, environment, job, lock }: Start): Promise<void> {
  const tell = (webccl: Report["webccl"]) => postMessage({ webccl } satisfies Report);
  const fail = (error: unknown) => tell({ error: described(error) });
  addEventListener("unhandledrejection", ({ reason }) => fail(reason));
  Object.assign(globalThis, { webcclEnvironment: environment }, job && { webcclJob: job });
  try {
    if (lock !== null) await hold(lock);
    if (lock !== null) tell("holds lock");
    await import(/* @vite-ignore */ /* webpackIgnore: true */ moduleUrl);
    tell("done");
  } catch (error) {
    fail(error);
  }
}

/** Takes a lock that nobody else has yet, for good. */
function hold(lock: string): Promise<void> {
  return new Promise((held, refused) => {
    navigator.locks
      .request(lock, () => {
        held();
        return new Promise(() => {});
      })
      .catch(refused);
  });
}

/** An error in a form that a message can carry. The module may have classes of its own copy of webccl. */
function described(error: unknown): WireError | Error {
  if (error instanceof WebcclError) return toWireError(error);
  if (!(error instanceof Error)) return new Error(String(error));
  const { code, details } = error as Partial<WebcclError>;
  return code !== undefined && details !== undefined ? toWireError(error as WebcclError) : error;
}
