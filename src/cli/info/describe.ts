/** `webccl info` as text: sections of names and values, within 80 columns. */
import type { GpuInfo } from "./gpu.ts";
import { describeNccl, type NcclInfo } from "./nccl.ts";

const WIDTH = 80;
const INDENT = 2;
const NAME = 12;

type Row = readonly [name: string, value: string];

/** The object that `--json` prints. */
export interface Info {
  webccl: string;
  runtime: string;
  system: { platform: string; arch: string; cores: number; memoryBytes: number };
  cpu: { description: string; arithmeticId: string };
  /** WebGPU in each runtime found; what is missing without an adapter is in its `fix`. */
  gpus: GpuInfo[];
  nccl: NcclInfo;
  /** Through what the C library is called to map memory, such as "koffi 3.3.4"; null where none can be mapped. */
  ffi: string | null;
  transports: string[];
  /** How `webccl run` starts a .ts file. */
  typeScript: string;
  /** Equal for two processes that can share files and loopback. */
  hostId: string;
  missing: { what: string; fix: string }[];
}

/** The whole text. */
export function describe(found: Info): string {
  const { system, cpu, missing } = found;
  const memory = `${(system.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  return [
    section(`webccl ${found.webccl}`, [
      ["runtime", found.runtime],
      ["system", `${system.platform} ${system.arch}, ${system.cores} cores, ${memory}`],
      ["host", found.hostId],
      ["TypeScript", found.typeScript],
    ]),
    section("CPU", [
      ["kernels", cpu.description],
      ["arithmetic", cpu.arithmeticId],
    ]),
    ...found.gpus.map(gpuSection),
    section("NCCL", [["library", describeNccl(found.nccl)]]),
    section("Transports", [
      ["here", found.transports.join(", ")],
      ["mapped by", found.ffi ?? "nothing: memory cannot be mapped"],
    ]),
    ...(missing.length === 0
      ? []
      : [
          section(
            "Missing",
            missing.map(({ what, fix }): Row => [what, fix]),
          ),
        ]),
  ].join("\n");
}

function gpuSection({ runtime, adapter, features, limits, fix }: GpuInfo): string {
  if (adapter === null) return section(`GPU in ${runtime}`, [["adapter", `none: ${fix}`]]);
  const most = Object.entries(limits).map(([name, value]) => `${name} ${limitText(name, value)}`);
  return section(`GPU in ${runtime}`, [
    ["adapter", adapter],
    ["limits", most.join("\n")],
    ...groupsOf(features).map(([name, some]): Row => [name, some.join(", ")]),
  ]);
}

/** The features of an adapter by their use; those of one use in the order of the alphabet. */
const GROUPS: readonly (readonly [name: string, isOne: (feature: string) => boolean])[] = [
  ["arithmetic", (feature) => /f16|^subgroup|atomic|packed/.test(feature)],
  ["timing", (feature) => /timestamp/.test(feature)],
  ["textures", (feature) => /texture|sampling|blend|filterable|renderable|bgra8|depth|clip/.test(feature)],
  ["other", () => true],
];

function groupsOf(features: readonly string[]): [string, string[]][] {
  const groupOf = (feature: string) => GROUPS.find(([, isOne]) => isOne(feature))?.[0];
  const all = GROUPS.map(([name]): [string, string[]] => [name, features.filter((one) => groupOf(one) === name)]);
  return all.filter(([, some]) => some.length > 0);
}

function limitText(name: string, value: number): string {
  if (!/Size$/.test(name)) return String(value);
  return value % 2 ** 20 === 0 ? `${value / 2 ** 20} MiB` : `${value} bytes`;
}

function section(title: string, rows: readonly Row[]): string {
  return `${title}\n${rows.map(([name, value]) => row(name, value)).join("")}`;
}

/** A name and its value, which goes on below itself. A name that is too long has a line of its own. */
function row(name: string, value: string): string {
  const start = " ".repeat(INDENT + NAME);
  const isLong = name.length > NAME - 1;
  const head = `${" ".repeat(INDENT)}${isLong ? `${name}\n${start}` : name.padEnd(NAME)}`;
  return `${head}${wrapped(value, WIDTH - start.length).join(`\n${start}`)}\n`;
}

/** The words of `text` in lines of `width`, and its own lines; a word that is longer has a line of its own. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(/\s+/)) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines;
}
