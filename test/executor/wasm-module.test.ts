import { readFile } from "node:fs/promises";
import { inflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { buildWasm, WASM_MODULES } from "../../scripts/build-wasm.ts";
import { MODULE as XXH64 } from "../../src/executor/checksum/wasm-xxh64.generated.ts";
import { MODULE as KERNELS } from "../../src/executor/cpu/wasm-kernels.generated.ts";
import { MODULE as MANY } from "../../src/executor/cpu/wasm-many.generated.ts";

describe("wasm-*.generated.ts", () => {
  /** The file with the module itself in the place of its deflated form, which differs between versions of zlib. */
  const inflated = (text: string) =>
    text.replace(/"([\w+/=]{500,})"/, (_, base64) => inflateRawSync(Buffer.from(base64, "base64")).toString("base64"));

  it("are what wasm/ compiles to, byte for byte", async () => {
    for (const { source, output } of WASM_MODULES) {
      const committed = await readFile(output, "utf8");
      expect(inflated(committed) === inflated(await buildWasm(source)), "run `npm run build:wasm`").toBe(true);
    }
  }, 120_000);

  it.each([
    [KERNELS, 62, /^(move|gather|scatter|(sum|product|min|max|band|bor|bxor|scale|divide)_[iubf]+\d+)$/, 4_000],
    [XXH64, 3, /^(begin|update|digest)$/, 1_000],
    [MANY, 43, /^(sum|product|min|max|band|bor|bxor)_[iubf]+\d+$/, 5_000],
  ])("import one memory, export kernels only, and are small", ({ base64 }, count, names, mostCharacters) => {
    const module = new WebAssembly.Module(inflateRawSync(Buffer.from(base64, "base64")));
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
    const exports = WebAssembly.Module.exports(module);
    expect(exports.length).toBe(count);
    for (const { name, kind } of exports) {
      expect(kind).toBe("function");
      expect(name).toMatch(names);
    }
    expect(base64.length).toBeLessThan(mostCharacters);
  });
});
