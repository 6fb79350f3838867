/** Many ranks in one process, each with many links: what they share of the process has one listener of theirs, not one each. */
import { describe, expect, it, onTestFinished } from "vitest";
import { initProcessGroup } from "../../src/node/index.ts";
import { freePort } from "../helpers/free-port.ts";

const RANKS = 14;

describe("many ranks of one process", () => {
  it.each(["websocket", "hub"] as const)("bring no warning of many listeners over %s", async (transport) => {
    const warnings: string[] = [];
    const onWarning = ({ name }: Error) => void warnings.push(name);
    process.on("warning", onWarning);
    onTestFinished(() => void process.off("warning", onWarning));
    const before = process.listenerCount("beforeExit");
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const { signal } = new AbortController();
    const common = { initMethod, worldSize: RANKS, transport, backend: "cpu", signal } as const;
    const groups = await Promise.all(Array.from({ length: RANKS }, (_, rank) => initProcessGroup({ ...common, rank })));
    expect(process.listenerCount("beforeExit")).toBe(before + 1);
    await Promise.all(groups.map((group) => group.barrier()));
    await Promise.all(groups.map((group) => group.destroy()));
    expect(process.listenerCount("beforeExit")).toBe(before);
    // Node emits a warning in a later turn.
    await new Promise((resolve) => setImmediate(resolve));
    expect(warnings.filter((name) => name === "MaxListenersExceededWarning")).toEqual([]);
  });
});
