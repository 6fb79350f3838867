import { readFile } from "node:fs/promises";
import { inflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { buildWasm } from "../../scripts/build-wasm.ts";
import { WASM_DEFLATED_BASE64 } from "../../src/executor/wasm-module.generated.ts";

describe("wasm-module.generated.ts", () => {
  /** The file with the module itself in the place of its deflated form, which differs between versions of zlib. */
  const inflated = (text: string) =>
    text.replace(/"([\w+/=]{1000,})"/, (_, base64) => inflateRawSync(Buffer.from(base64, "base64")).toString("base64"));

  it("is what wasm/ compiles to, byte for byte", async () => {
    const committed = await readFile(new URL("../../src/executor/wasm-module.generated.ts", import.meta.url), "utf8");
    expect(inflated(committed) === inflated(await buildWasm()), "run `npm run build:wasm`").toBe(true);
  }, 120_000);

  it("imports one memory, exports kernels only, and is small", () => {
    const module = new WebAssembly.Module(inflateRawSync(Buffer.from(WASM_DEFLATED_BASE64, "base64")));
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
    const exports = WebAssembly.Module.exports(module);
    expect(exports.length).toBe(103);
    for (const { name, kind } of exports) {
      expect(kind).toBe("function");
      expect(name).toMatch(/^(move|(many_)?(sum|product|min|max|band|bor|bxor)_[iubf]+\d+|(scale|divide)_[iubf]+\d+)$/);
    }
    expect(WASM_DEFLATED_BASE64.length).toBeLessThan(8_000);
  });
});
