/**
 * The rank of a page or of a worker: does what the job in the location's fragment says, and leaves the outcome in
 * `globalThis.outcome`, or posts it.
 */
import { initProcessGroup } from "../../../src/browser/index.ts";
import type { Job, RawJob } from "../job.ts";
import { perform } from "../perform.ts";
import { compareWithRaw } from "./raw.ts";

const job: Job | RawJob = JSON.parse(decodeURIComponent(location.hash.slice(1)));
if ("raw" in job) Object.assign(globalThis, { outcome: await compareWithRaw(job) });
else if (typeof document === "undefined") postMessage(await perform(job, initProcessGroup));
else if (job.inWorker) {
  const worker = new Worker(`${import.meta.url}${location.hash}`, { type: "module" });
  worker.onmessage = ({ data }) => Object.assign(globalThis, { outcome: data });
  worker.onerror = ({ message }) => Object.assign(globalThis, { outcome: { error: message ?? "no worker" } });
} else Object.assign(globalThis, { outcome: await perform(job, initProcessGroup) });
