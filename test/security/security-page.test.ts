/** docs/security.md names the tests of every line; each of them is there. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = new URL("../../", import.meta.url);
const page = readFileSync(new URL("docs/security.md", root), "utf8");

/** The rows of the page's tables by their line, such as S4. */
const rows = [...page.matchAll(/^\| ([SW]\d+) +\|(.*)\|$/gm)].map(([, line = "", text = ""]) => ({ line, text }));

const NOT_HELD = "**not held yet**";

/** The tests that a row names. A word of a name may be marked as code. */
const testsOf = (text: string) =>
  [...text.matchAll(/`(test\/[^`]+)`: "([^"]+)"/g)].map(([, file = "", name = ""]) => ({
    file,
    name: name.replaceAll("`", ""),
  }));

/** Does a file have this name, as a whole text between quotation marks? */
const has = (source: string, name: string) => ['"', "'", "`"].some((mark) => source.includes(`${mark}${name}${mark}`));

describe("docs/security.md", () => {
  it("has every line once: S1 to S27, W1 to W15", () => {
    const expected = [
      ...Array.from({ length: 27 }, (_, i) => `S${i + 1}`),
      ...Array.from({ length: 15 }, (_, i) => `W${i + 1}`),
    ];
    expect(rows.map(({ line }) => line)).toEqual(expected);
  });

  it.each(rows)("names tests of $line that there are, or says that it is not held", ({ text }) => {
    const tests = testsOf(text);
    if (tests.length === 0) expect(text).toContain(NOT_HELD);
    // Every file that a row names has the name of a test behind it.
    expect(text.match(/`test\//g)?.length ?? 0).toBe(tests.length);
    for (const { file, name } of tests) {
      const path = fileURLToPath(new URL(file, root));
      expect(existsSync(path), `${file} is there`).toBe(true);
      expect(has(readFileSync(path, "utf8"), name), `${file} has a test "${name}"`).toBe(true);
    }
  });
});
