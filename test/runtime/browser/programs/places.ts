/** A page that starts ranks elsewhere than in itself, and one that is a rank and does nothing. */
import { initProcessGroup } from "../../../../src/browser/index.ts";

/** What the service worker says when it is asked to be a rank. */
async function inServiceWorker(): Promise<string> {
  await navigator.serviceWorker.register("service-worker.js", { type: "module" });
  const { active } = await navigator.serviceWorker.ready;
  const { port1, port2 } = new MessageChannel();
  const answer = new Promise<string>((resolve) => {
    port1.onmessage = ({ data }) => resolve(data);
  });
  active?.postMessage("be a rank", [port2]);
  return answer;
}

/** The outcome of a rank in a shared worker. */
function inSharedWorker(job: object): Promise<unknown> {
  const url = `shared-worker.js#${encodeURIComponent(JSON.stringify(job))}`;
  const { port } = new SharedWorker(url, { type: "module" });
  return new Promise((resolve) => {
    port.onmessage = ({ data }) => resolve(data);
  });
}

/** Bytes of this page's agents before it joined a group, and as it is an idle rank of it after a few calls. */
async function idle(options: object): Promise<{ before: number; after: number; memory: string }> {
  const measured = () =>
    (performance as unknown as { measureUserAgentSpecificMemory(): Promise<{ bytes: number }> })
      .measureUserAgentSpecificMemory()
      .then(({ bytes }) => bytes);
  const before = await measured();
  const group = await initProcessGroup(options);
  for (let call = 0; call < 3; call++) await group.allReduce(new Float32Array(100_000).fill(1));
  const after = await measured();
  const { executors } = group.info();
  await group.barrier();
  await group.destroy();
  return { before, after, memory: executors[0]!.description };
}

Object.assign(globalThis, { idle, inServiceWorker, inSharedWorker });
