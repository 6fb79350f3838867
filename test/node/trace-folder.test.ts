/** The folder of WEBCCL_TRACE_DIR, where another user may have been first. */
import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { traceInto } from "../../src/node/trace/trace-folder.ts";
import type { TracedJob } from "../../src/platform.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

describe("traceInto()", () => {
  it.each(["a link to a file", "a link to nothing", "a file", "a folder", "nothing"])(
    "writes a dump where %s lies, and into no other place",
    async (there) => {
      const folder = temporaryFolder();
      const precious = join(temporaryFolder(), "precious");
      writeFileSync(precious, "precious");
      const name = "../a job";
      const part = join(folder, `${encodeURIComponent(name)}-rank3.part`);
      if (there === "a link to a file") symlinkSync(precious, part);
      if (there === "a link to nothing") symlinkSync(`${precious}.new`, part);
      if (there === "a file") writeFileSync(part, "half a dump");
      if (there === "a folder") mkdirSync(part);
      const said: string[] = [];
      const say = (text: string) => void said.push(text);
      let die = () => {};
      const job: TracedJob = {
        ...{ name, rank: 3, logger: { error: say, warn: say, info: say, debug: say } },
        onDeath: (dying) => {
          die = dying;
        },
        dump: () => ({ calls: 7 }) as never,
      };
      onTestFinished(await traceInto(folder, job));
      die();
      expect(readFileSync(precious, "utf8")).toBe("precious");
      const dump = join(folder, `${encodeURIComponent(name)}-rank3.json`);
      if (there === "a folder") {
        expect(said.join()).toMatch(/^WEBCCL_TRACE_DIR: /);
        return;
      }
      expect(JSON.parse(readFileSync(dump, "utf8"))).toEqual({ calls: 7 });
      expect(lstatSync(dump).isFile()).toBe(true);
      expect(lstatSync(dump).mode & 0o777).toBe(0o600);
      expect(readdirSync(folder).filter((file) => file.endsWith(".part"))).toEqual([]);
    },
  );
});
