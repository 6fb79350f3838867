/** A failure in one line: the error, the place in the program where it came from, and what to do where that is known. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { textOf } from "../../support/thrown.ts";

/** The folder of webccl itself, whose places say nothing to a user. */
const OWN = new URL("../../", import.meta.url);
const AS_MODULE =
  'the program was read as CommonJS: name it .mjs or .mts, or put "type": "module" into the package.json beside it';

/** Texts of the runtimes, and the remedy of each. */
const REMEDIES: readonly [RegExp, string][] = [
  [/Top-level await is currently not supported with the "cjs"|await is only valid in async/, AS_MODULE],
  [/Cannot use import statement outside a module|Unexpected token 'export'/, AS_MODULE],
  [
    /\.broadcast_?[cC]oalesced is not a function/,
    "it is broadcastCoalesced(group, tensors) of webccl/ddp, or group.broadcastAll(tensors)",
  ],
  [
    /\.(all_(reduce|gather|to_all)|reduce_scatter|send_object|recv_object|batch_isend_irecv|monitored_barrier|new_group|init_process_group|destroy_process_group|get_(rank|world_size)|broadcast_object_list|gather_object|scatter_object_list)\w* is not a function/,
    "names of webccl have no underscore: docs/from-torch.md has each name of torch.distributed beside its name here",
  ],
  [
    /Unknown file extension|needs an import (attribute|assertion) of type/,
    "webccl runs JavaScript (.js, .mjs, .cjs) and TypeScript (.ts, .mts, .cts)",
  ],
  [/require is not defined in ES module scope/, "the program was read as a module: use import, or name it .cjs"],
];

/** `error` in one line. */
export function failureLine(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(`thrown: ${textOf(error)}`);
  const place = placeOf(error);
  const cause = error.cause instanceof Error && !error.message.includes(error.cause.message) ? error.cause : null;
  const remedy = remedyOf(error);
  return oneLine(
    `${error.name}: ${error.message}${place && ` (${place})`}${cause ? `, caused by ${cause.name}: ${cause.message}` : ""}` +
      (remedy ? `; ${remedy}` : "") +
      anchorOf(error),
  );
}

/** The code of an error of webccl, and where the docs tell of it; "" for any other. Told by its fields: the program may have a webccl of its own. */
function anchorOf(error: Error & { code?: unknown; details?: unknown }): string {
  if (typeof error.code !== "string" || typeof error.details !== "object") return "";
  return ` [${error.code}: docs/errors.md#${error.code.toLowerCase()}]`;
}

/** Does the line of `error` tell a place in the program, or a remedy? */
export function tellsWhere(error: Error): boolean {
  return placeOf(error) !== "" || remedyOf(error) !== undefined;
}

function remedyOf({ message }: Error): string | undefined {
  return REMEDIES.find(([text]) => text.test(message))?.[1];
}

/** The innermost place of the program in the error's stack, or "". */
function placeOf({ stack = "" }: Error): string {
  for (const [, file = "", position = ""] of stack.matchAll(
    /^ +at (?:.*\()?((?:file:\/\/|\/)[^()]*?):(\d+:\d+)\)?$/gm,
  )) {
    const url = file.startsWith("file:") ? file : `file://${file}`;
    if (url.startsWith(OWN.href) || url.includes("/node_modules/")) continue;
    return `${relative(process.cwd(), fileURLToPath(url.replace(/\?.*$/, "")))}:${position}`;
  }
  return "";
}

const oneLine = (text: string) => text.replace(/\s*\n\s*/g, " ");
