/**
 * FFI: how JavaScript calls the C library of its process. The package koffi, an optional dependency, stands before `node:ffi`,
 * which newer versions of Node have: that one prints a warning that it is experimental.
 */
import { UnsupportedError } from "../../errors.ts";
import { textOf } from "../../support/thrown.ts";

/** A function of C: each argument, and what it returns, is a number of 64 bits. */
export type CFunction = (...args: bigint[]) => bigint;

/** One way to call C. */
export interface Ffi {
  /** Such as "koffi 3.3.4". */
  readonly name: string;
  /** The functions of the C library with these names, each with so many arguments. */
  functions<N extends string>(arities: Readonly<Record<N, number>>): Readonly<Record<N, CFunction>>;
  /** Where the bytes lie. */
  addressOf(bytes: Uint8Array): bigint;
}

/** The part of koffi that is used here. */
interface Koffi {
  version: string;
  load(library: null): { func(prototype: string): (...args: bigint[]) => number | bigint };
  address(bytes: Uint8Array): bigint;
}

/** The part of node:ffi that is used here. */
interface NodeFfi {
  dlopen(
    library: null,
    functions: Record<string, { arguments: string[]; return: string }>,
  ): { functions: Record<string, CFunction> };
  getRawPointer(bytes: Uint8Array): bigint;
}

/**
 * Named in variables, so that neither a compiler nor a bundler asks for what may be absent; and koffi in none that a bundler of a
 * server can read, for it would look into the package, which has a binary.
 */
const KOFFI: string = ["koffi"].join("");
const NODE_FFI: string = "node:ffi";

const OPENERS: Readonly<Record<string, () => Promise<Ffi>>> = {
  koffi: async () => {
    const { default: koffi } = (await import(KOFFI)) as { default: Koffi };
    const library = koffi.load(null);
    return {
      name: `koffi ${koffi.version}`,
      functions: (arities) =>
        functionsOf(arities, (name, arity) => {
          const call = library.func(`int64_t ${name}(${Array(arity).fill("int64_t").join(", ")})`);
          return (...args) => BigInt(call(...args));
        }),
      addressOf: (bytes) => koffi.address(bytes),
    };
  },
  "node:ffi": async () => {
    const ffi = (await import(NODE_FFI)) as NodeFfi;
    return {
      name: "node:ffi",
      functions: (arities) =>
        functionsOf(arities, (name, arity) => {
          const type = { arguments: Array<string>(arity).fill("i64"), return: "i64" };
          const { functions } = ffi.dlopen(null, { [name]: type });
          return functions[name] as CFunction;
        }),
      addressOf: (bytes) => ffi.getRawPointer(bytes),
    };
  },
};

/**
 * The first that there is; `wanted` names one, or "none".
 * @throws UnsupportedError that says what is missing.
 */
export async function openNodeFfi(wanted: string | undefined): Promise<Ffi> {
  const names = wanted === undefined ? Object.keys(OPENERS) : [wanted];
  const reasons: string[] = [];
  for (const name of names) {
    try {
      const open = OPENERS[name];
      if (open) return await open();
      reasons.push(`WEBCCL_FFI is "${name}"`);
    } catch (error) {
      reasons.push(textOf(error).split("\n")[0] ?? name);
    }
  }
  throw new UnsupportedError(`no FFI: npm install koffi, or Node 26 or later (${reasons.join("; ")})`);
}

/** `make` of every name and its number of arguments. */
export function functionsOf<N extends string>(
  arities: Readonly<Record<N, number>>,
  make: (name: string, arity: number) => CFunction,
): Readonly<Record<N, CFunction>> {
  const made = Object.entries<number>(arities).map(([name, arity]) => [name, make(name, arity)]);
  return Object.fromEntries(made) as Record<N, CFunction>;
}
