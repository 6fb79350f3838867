/** README.md: its programs are the files of examples/, and its first screen fits. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const readme = read("README.md");

/** The blocks of TypeScript: the name that their first line gives, and the rest. */
const blocks = [...readme.matchAll(/```ts\n\/\/ (a part of )?([\w.-]+)\n([\s\S]*?)```/g)].map(
  ([, part, name, code]) => ({
    name: name!,
    isPart: part !== undefined,
    code: code!.trim(),
  }),
);

describe("README.md", () => {
  it("has at most 200 lines", () => {
    expect(readme.split("\n").length).toBeLessThanOrEqual(201);
  });

  it("names the example that each block of TypeScript is", () => {
    expect(blocks.length).toBeGreaterThanOrEqual(5);
    expect(blocks).toHaveLength(readme.match(/```ts\n/g)!.length);
  });

  it.each(blocks)("shows $name as it is", ({ name, isPart, code }) => {
    const program = read(`examples/${name}`).replace(/^(\/\/.*\n)+/, "");
    if (isPart) expect(program).toContain(code);
    // A block may end before the program does, at an empty line.
    else expect(`${program.trim()}\n\n`.startsWith(`${code}\n\n`)).toBe(true);
  });

  it("shows what all-reduce.ts prints", () => {
    for (const [line] of readme.matchAll(/^\[\d\] rank \d of 4 has the sum .*$/gm)) {
      const rank = Number(line![1]);
      expect(line).toBe(`[${rank}] rank ${rank} of 4 has the sum 10 100 1000`);
    }
  });
});
