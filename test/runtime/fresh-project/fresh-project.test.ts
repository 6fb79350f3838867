/** What README.md says, done in an empty folder with the packed package, on each Node that is supported. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt, root } from "../../../scripts/build.ts";
import { freePort } from "../../helpers/free-port.ts";
import { gpuEnvironment } from "../../helpers/gpu.ts";
import { NODES, type NodeVersion, nodeFolder } from "../../helpers/nodes.ts";
import { outputOf } from "../../helpers/output-of.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");

/** The lines that README.md shows under `npx webccl run …`, in the order of their ranks: ranks print when they like. */
function shown(command: string): string[] {
  const [, lines = ""] = readme.split(`$ ${command}\n`);
  return lines.split("```")[0]!.trim().split("\n").sort();
}

describe("a fresh project", () => {
  let project: string;
  const npm = (cwd: string, ...words: string[]) => execFileSync("npm", words, { cwd, encoding: "utf8" }).trim();

  beforeAll(async () => {
    if (!isBuilt()) await build();
    project = mkdtempSync(join(tmpdir(), "webccl-fresh-"));
    const packed = npm(root, "pack", "--silent", "--ignore-scripts", "--pack-destination", project);
    npm(project, "init", "--yes");
    npm(project, "pkg", "set", "type=module");
    const packages = ["tsx", "webgpu", "@tensorflow/tfjs"];
    npm(project, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", `./${packed}`, ...packages);
    for (const name of ["all-reduce.ts", "gpu-buffers.ts", "several-hosts.ts", "tfjs-training.ts"]) {
      copyFileSync(join(root, "examples", name), join(project, name));
    }
  }, 300_000);

  afterAll(() => rmSync(project, { recursive: true, force: true }));

  /** What `npx webccl …` prints with this Node, sorted. */
  function webccl(version: NodeVersion, ...words: string[]): string[] {
    const env = { ...process.env, ...gpuEnvironment(), PATH: `${nodeFolder(version)}:${process.env.PATH}` };
    const command = join(project, "node_modules", ".bin", "webccl");
    return execFileSync(command, words, { cwd: project, env, encoding: "utf8" }).trim().split("\n").sort();
  }

  describe.each(NODES)("on Node %i", { timeout: 120_000 }, (version) => {
    it("prints what README.md shows", () => {
      expect(webccl(version, "run", "-n", "4", "all-reduce.ts")).toEqual(shown("npx webccl run -n 4 all-reduce.ts"));
    });

    it("does so in threads", () => {
      const lines = webccl(version, "run", "--threads", "-n", "4", "all-reduce.ts");
      expect(lines).toEqual(shown("npx webccl run -n 4 all-reduce.ts"));
    });

    it("sums GPUBuffers", () => {
      const lines = webccl(version, "run", "-n", "2", "gpu-buffers.ts");
      expect(lines).toEqual([0, 1].map((rank) => `[${rank}] rank ${rank} of 2 has the sum 3 in a GPUBuffer`));
    });

    it("joins processes of two hosts, as examples/several-hosts.ts says", async () => {
      const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
      // On a machine without a network the hub relays.
      const own = addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
      const node = join(nodeFolder(version), "node");
      const words = [...(version === 20 ? ["--import", "tsx"] : []), "several-hosts.ts"];
      const port = await freePort();
      const said = [0, 1].map(async (rank) => {
        const env = {
          ...process.env,
          RANK: `${rank}`,
          WORLD_SIZE: "2",
          MASTER_ADDR: "127.0.0.1",
          MASTER_PORT: `${port}`,
        };
        const place = { WEBCCL_TOKEN: "secret", OWN_ADDRESS: own ?? "127.0.0.1", WEBCCL_HOST: `host ${rank}` };
        return outputOf({ command: node, args: words, env: { ...env, ...place }, cwd: project });
      });
      const link = own === undefined ? "hub" : "websocket";
      expect(await Promise.all(said)).toEqual([
        `rank 0 of 2 has the sum 3; its links: self, ${link}\n`,
        `rank 1 of 2 has the sum 3; its links: ${link}, self\n`,
      ]);
    });

    it("trains a model of TensorFlow.js", () => {
      const told = webccl(version, "run", "-n", "2", "tfjs-training.ts").join("\n");
      const weights = [...told.matchAll(/rank \d has the weights ([\d.-]+) and ([\d.-]+)/g)].map(([, a, b]) => [a, b]);
      // The samples are random: y = 3a - 2b.
      expect(weights).toHaveLength(2);
      expect(weights[0]).toEqual(weights[1]);
      expect(Math.abs(Number(weights[0]![0]) - 3)).toBeLessThan(0.1);
      expect(Math.abs(Number(weights[0]![1]) + 2)).toBeLessThan(0.1);
    });
  });
});
