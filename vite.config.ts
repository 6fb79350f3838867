import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Tests that run inside a browser; the others of that folder drive one from Node. */
const BROWSER_TESTS = "test/runtime/browser/device-*.test.ts";

/** Tests of examples, commands, the package as others install it, NCCL, and ranks in browsers, Deno and processes: `npm run matrix`. */
const MATRIX = [
  "test/runtime/{browser,bun,bundlers,deno,engines,fresh-project,hosts,mixed,proxies}/*.test.ts",
  "test/runtime/{hosts,mixed,split-network}.test.ts",
  "test/{demo,examples,nccl}/*.test.ts",
  "test/site/{programs,site}.test.ts",
  "test/runtime/node/{processes,versions}.test.ts",
  "test/membership/processes.test.ts",
  "test/{ddp,nn,ort}/example.test.ts",
  "test/ort/page.test.ts",
  "test/{package,cli/bench,cli/command-lines,cli/run}.test.ts",
];

/** Tests that hold seconds against limits, or count the memory and files of their own processes: they run beside each other only. */
const FAULTS = ["test/faults/*.test.ts"];

/** Tests that hold milliseconds against limits: nothing else runs beside them. */
const ALONE = ["test/nccl/costs.test.ts", "test/runtime/mixed-speed.test.ts"];

/** Builds the NCCL addon, and the libraries that stand in for NCCL and CUDA. */
const STAND_INS = "test/nccl/build-stand-ins.ts";

/** The tests that take longest. They begin first, so that none of them runs alone at the end. */
const LONG = /conformance\/full-product|nccl\/conformance|runtime\/mixed|algorithm\/(algorithms|cost)/;

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

/** Headless, with WebGPU on SwiftShader, and without what a browser does on the network by itself. */
const CHROMIUM = {
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
  ],
};

/** With these a page is cross-origin isolated and has SharedArrayBuffer. */
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    sequence: { sequencer: LongFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: [...MATRIX, ...FAULTS, ...ALONE],
          pool: "forks",
          globalSetup: STAND_INS,
        },
      },
      {
        extends: true,
        test: {
          name: "matrix",
          include: MATRIX,
          exclude: [BROWSER_TESTS, ...ALONE],
          pool: "forks",
          globalSetup: STAND_INS,
        },
      },
      {
        extends: true,
        test: { name: "faults", include: FAULTS, pool: "forks", sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: { name: "alone", include: ALONE, pool: "forks", maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
      {
        extends: true,
        server: { headers: ISOLATED },
        test: {
          name: "browser",
          include: [BROWSER_TESTS],
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({ launchOptions: CHROMIUM }),
            instances: [{ browser: "chromium" }],
          },
        },
      },
    ],
  },
});
