/** R13: a network that delays, is slow, cuts connections and changes bytes. */
import type { SeededRandom } from "../../../src/support/seeded-random.ts";
import { freePort } from "../../../test/helpers/free-port.ts";
import { others, program, startHub, startJob } from "../processes.ts";
import { Findings, type Scenario } from "../scenario.ts";
import { UnreliableProxy, type Way } from "../unreliable-proxy.ts";

const RANKS = 3;
/** About so many bytes cross in one round of calls. */
const ROUND_BYTES = 300_000;
const TRANSPORTS = ["websocket", "hub"] as const;

/** See the file's head. Of 16 faults 10 are cuts, 4 changed bytes, and in 2 the network is only slow. */
export const badNetwork: Scenario = {
  id: "R13",
  title:
    "a proxy with 50 ms delay, 1 MB/s, 100 cuts and changed bytes: right or rejected; from the cut to the last error",
  limitMs: 2_000,
  repetitions: 160,
  draw(random, number) {
    const transport = random.pick(TRANSPORTS);
    const way = drawWay(random, number % 16);
    return { what: `${JSON.stringify(way)} over ${transport}`, inject: () => inject(way, transport) };
  },
};

function drawWay(random: SeededRandom, kind: number): Way {
  const slow: Way = [{}, { delayMs: 50 }, { bytesPerSecond: 1_000_000 }][random.below(3)]!;
  const at = random.below(random.below(4) === 0 ? 3_000 : ROUND_BYTES);
  if (kind < 10) return { ...slow, cutAt: at };
  if (kind < 14) return { ...slow, flipAt: at, change: 1 + random.below(255) };
  return { delayMs: 50, bytesPerSecond: 1_000_000 };
}

async function inject(way: Way, transport: (typeof TRANSPORTS)[number]): Promise<Findings> {
  const findings = new Findings();
  const { job, proxy } = transport === "hub" ? await throughHub(way) : await throughLinks(way);
  const ends = await job.ended;
  const messages = job.reports.map(({ message }) => message);
  for (const { wrong } of messages.filter((message) => "wrong" in message)) findings.wrong.push(String(wrong));
  for (const { destroy } of messages.filter((message) => "destroy" in message)) findings.broken.push(String(destroy));
  const failures = messages.filter((message) => "error" in message);
  for (const { error, text, code, at } of failures) {
    findings.expect(typeof code === "string", `told was ${error}: ${text}`);
    findings.expect(proxy.faultAt !== null, `nothing was cut, and a rank was told ${error}: ${text}`);
    if (way.cutAt !== undefined && proxy.faultAt !== null) findings.times.push(Number(at) - proxy.faultAt);
  }
  const count = messages.filter((message) => "made" in message).length;
  findings.expect(count === RANKS, `${count} of ${RANKS} ranks told how it ended`);
  for (const rank of others(RANKS))
    findings.expect(ends[rank]!.code === 0, `rank ${rank} ended with ${ends[rank]!.code}`);
  return findings;
}

/** The ranks' connections to a hub cross the proxy. */
async function throughHub(way: Way) {
  const { url } = await startHub();
  const proxy = await UnreliableProxy.open(Number(new URL(url).port), way);
  const initMethod = `ws://127.0.0.1:${proxy.port}/group`;
  const env = { CALLS: callsOf(way), TRANSPORT: "hub", WEBCCL_INIT_METHOD: initMethod };
  return { proxy, job: await startJob(program("proxied.mjs"), RANKS, env) };
}

/** The links of all ranks to rank 0 cross the proxy: each rank has one port, of which rank 0 tells the proxy's. */
async function throughLinks(way: Way) {
  const port = await freePort();
  const proxy = await UnreliableProxy.open(port, way);
  const env = { CALLS: callsOf(way), TRANSPORT: "websocket" };
  const job = await startJob(program("proxied.mjs"), 0, env);
  for (const rank of others(RANKS)) {
    const listen = rank === 0 ? { LISTEN: JSON.stringify({ port, advertise: `127.0.0.1:${proxy.port}` }) } : {};
    job.start({ RANK: String(rank), WORLD_SIZE: String(RANKS), ...listen });
  }
  return { proxy, job };
}

/** Until the fault at the latest, with some left over. */
const callsOf = ({ cutAt, flipAt }: Way) => (cutAt === undefined && flipAt === undefined ? "4" : "6");
