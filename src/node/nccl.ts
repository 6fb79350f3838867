/**
 * NCCL in Node and Deno: the package `@webccl/nccl`, an optional peer dependency.
 */
import type { NcclLibrary } from "../backend/nccl/library.ts";
import { UnsupportedError } from "../errors.ts";

/** Named in a variable, so that neither a compiler nor a bundler asks for a package that may be absent. */
const PACKAGE: string = "@webccl/nccl";

/**
 * Loads the package; its libraries are opened later.
 * @throws UnsupportedError if it is not installed.
 */
export async function loadNccl(): Promise<NcclLibrary> {
  try {
    return (await import(PACKAGE)) as NcclLibrary;
  } catch (cause) {
    throw new UnsupportedError("the package @webccl/nccl is not installed: `npm install @webccl/nccl`", { cause });
  }
}
