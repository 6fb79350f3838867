/** Deno's own FFI. */
import { UnsupportedError } from "../errors.ts";
import { type CFunction, type Ffi, functionsOf } from "../node/mapped-memory/ffi.ts";

/** The part of Deno's own names that is used here. */
declare const Deno: {
  permissions: { querySync(what: { name: "ffi" }): { state: string } };
  dlopen(
    library: string,
    functions: Record<string, { parameters: string[]; result: string }>,
  ): { symbols: Record<string, CFunction> };
  UnsafePointer: { of(bytes: Uint8Array): object | null; value(pointer: object | null): bigint };
};

/** Deno is for glibc alone. */
const LIBRARY = "libc.so.6";

/**
 * Opens it; `wanted` names it, or another one.
 * @throws UnsupportedError that says what is missing.
 */
export function openDenoFfi(wanted: string | undefined): Ffi {
  if (wanted !== undefined && wanted !== "deno") throw new UnsupportedError(`no FFI: WEBCCL_FFI is "${wanted}"`);
  // Asked for first: to try it would stop and ask the user.
  if (Deno.permissions.querySync({ name: "ffi" }).state !== "granted") {
    throw new UnsupportedError("not allowed to call the C library: run with --allow-ffi");
  }
  return {
    name: `deno ${process.versions.deno}`,
    functions: (arities) =>
      functionsOf(arities, (name, arity) => {
        const type = { parameters: Array<string>(arity).fill("i64"), result: "i64" };
        return Deno.dlopen(LIBRARY, { [name]: type }).symbols[name] as CFunction;
      }),
    addressOf: (bytes) => BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes))),
  };
}
