/** The commands of docs/hosts/ that run without the engine they are for. */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { program, start } from "../../cli/command.ts";
import { freePort } from "../../helpers/free-port.ts";

const recipe = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../../docs/hosts/${name}`, import.meta.url)), "utf8");
const TOKEN = { WEBCCL_TOKEN: "a token of this test" };

/** The words of a list in YAML's short form, `key: [a, "b"]`. */
function wordsOf(yaml: string, key: string): string[] {
  const [, list] = new RegExp(`^ *${key}: \\[(.*)\\]$`, "m").exec(yaml) ?? [];
  if (list === undefined) throw new Error(`there is no ${key}`);
  return list.split(",").map((word) => word.trim().replace(/^"(.*)"$/, "$1"));
}

describe("docs/hosts", { timeout: 120_000 }, () => {
  it("kubernetes.yaml starts the ranks of four pods, here beside each other", async () => {
    const yaml = recipe("kubernetes.yaml");
    const [npx, webccl, ...words] = [...wordsOf(yaml, "command"), ...wordsOf(yaml, "args")];
    expect([npx, webccl, words.at(-1)]).toEqual(["npx", "webccl", "all-reduce.js"]);
    const endpoint = `127.0.0.1:${await freePort()}`;
    const pods = ["2", "0", "3", "1"].map((index) => {
      const own = words.slice(0, -1).map((word) => {
        if (word === "$(JOB_COMPLETION_INDEX)") return index;
        return word === "webccl-0.webccl:29500" ? endpoint : word;
      });
      return start([...own, program("grows.mjs"), "8", "1"], TOKEN);
    });
    const ended = await Promise.all(pods.map((pod) => pod.ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const said = ended.flatMap(({ stdout }) => stdout.match(/rank \d of 8 has 36/g) ?? []);
    expect(new Set(said).size).toBe(8);
  });

  it("compose.yaml starts a hub that answers to its service's name, and to no other", async () => {
    const [, line = ""] = /command: npx webccl (hub .*)/.exec(recipe("compose.yaml")) ?? [];
    const hub = start([...line.split(" "), "--port", "0"], TOKEN);
    onTestFinished(() => void hub.process.kill());
    const [, port] = await hub.printed(/ws:\/\/[^:]+:(\d+)\n/);
    const statusFor = (host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const headers = { host: `${host}:29500` };
        const asked = request({ host: "127.0.0.1", port, headers }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        asked.on("error", reject);
        asked.end();
      });
    expect(await statusFor("hub")).toBe(200);
    expect(await statusFor("evil")).not.toBe(200);
  });
});
