import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { buildWasm } from "../../scripts/build-wasm.ts";
import { WASM_BASE64 } from "../../src/executor/wasm-module.generated.ts";

describe("wasm-module.generated.ts", () => {
  it("is what wasm/ compiles to, byte for byte", async () => {
    const committed = await readFile(new URL("../../src/executor/wasm-module.generated.ts", import.meta.url), "utf8");
    expect(committed === (await buildWasm()), "run `npm run build:wasm`").toBe(true);
  }, 120_000);

  it("imports one memory, exports kernels only, and is small", () => {
    const module = new WebAssembly.Module(Buffer.from(WASM_BASE64, "base64"));
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
    const exports = WebAssembly.Module.exports(module);
    expect(exports.length).toBe(103);
    for (const { name, kind } of exports) {
      expect(kind).toBe("function");
      expect(name).toMatch(/^(move|(many_)?(sum|product|min|max|band|bor|bxor)_[iubf]+\d+|(scale|divide)_[iubf]+\d+)$/);
    }
    expect(gzipSync(WASM_BASE64).byteLength).toBeLessThan(25_000);
  });
});
