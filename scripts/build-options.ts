/**
 * Puts the options of every public function into docs/options.md, from the interfaces that describe them. `npm run
 * build:options` writes the file; a test compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";
import { takesNoWords } from "./command-line.ts";

const OUTPUT = new URL("../docs/options.md", import.meta.url);

/** The functions with the same options, the interface of these, and its file. */
const SECTIONS: readonly { title: string; interfaces: readonly [file: string, name: string][] }[] = [
  {
    title: "Every collective, and the persistent call of the same name",
    interfaces: [["options", "CollectiveOptions"]],
  },
  {
    title: "`allReduce`, `reduceScatter`, `reduceScatterTensor`, `scan`, `exscan` also",
    interfaces: [
      ["options", "OpOptions"],
      ["options", "ReduceOptions"],
    ],
  },
  {
    title: "`broadcast`, `broadcastAll`, `gather`, `scatter` and their forms for objects also",
    interfaces: [["options", "RootOptions"]],
  },
  {
    title: "`reduce` also",
    interfaces: [
      ["options", "OpOptions"],
      ["options", "ReduceOptions"],
      ["options", "RootOptions"],
    ],
  },
  { title: "`send`, `recv`, `recvAnySource` also", interfaces: [["options", "PointToPointOptions"]] },
  { title: "`allToAllSingle` also", interfaces: [["options", "AllToAllSingleOptions"]] },
  { title: "`monitoredBarrier` also", interfaces: [["options", "MonitoredBarrierOptions"]] },
  { title: "`shrink` and `admit`", interfaces: [["options", "MembershipOptions"]] },
  { title: "`dumpTrace`", interfaces: [["group/trace/dump", "DumpOptions"]] },
  { title: "`newGroup` and `split`", interfaces: [["group/child/child-group", "NewGroupOptions"]] },
  { title: "`nn.allGather` and `nn.allToAll` also", interfaces: [["nn/all-gather", "OutputSplitsOptions"]] },
  { title: "`nn.gather` also", interfaces: [["nn/gather", "GatherOptions"]] },
  { title: "`nn.scatter` also", interfaces: [["nn/scatter", "ScatterOptions"]] },
  { title: "`initProcessGroup`", interfaces: [["bring-up/init-options", "InitOptions"]] },
  { title: "`initProcessGroup`: `listen`", interfaces: [["bring-up/init-options", "ListenOptions"]] },
  { title: "`initProcessGroup`: `iceServers`", interfaces: [["bring-up/init-options", "IceServer"]] },
  { title: "`initProcessGroup`: `ncclOptions`", interfaces: [["backend/choice", "NcclOptions"]] },
  { title: "`hashTensors`", interfaces: [["executor/checksum/hash-tensors", "HashTensorsOptions"]] },
  { title: "`mintTicket` of `webccl/hub`", interfaces: [["hub/mint-ticket", "MintTicketOptions"]] },
  { title: "`createHub`", interfaces: [["node/hub", "CreateHubOptions"]] },
  { title: "`createHub`: `quotas`", interfaces: [["hub/quotas", "HubQuotas"]] },
  { title: "`WorkerServer`", interfaces: [["node/trace/worker-server", "WorkerServerOptions"]] },
  { title: "`HubStore.connect`", interfaces: [["bring-up/meeting/hub-store", "HubStoreOptions"]] },
  { title: "`TcpStore.listen`", interfaces: [["node/tcp-store/tcp-store", "TcpListenOptions"]] },
  { title: "`TcpStore.connect`", interfaces: [["node/tcp-store/tcp-store", "TcpConnectOptions"]] },
  { title: "`RedisStore`", interfaces: [["node/redis-store/redis-store", "RedisStoreOptions"]] },
  { title: "`queuePop` of a store", interfaces: [["options", "QueuePopOptions"]] },
  { title: "`spawnRanks`", interfaces: [["bring-up/spawned-ranks", "SpawnOptions"]] },
  { title: "`Reducer`", interfaces: [["ddp/reducer/reducer-options", "ReducerOptions"]] },
  { title: "`prepareForBackward` of a Reducer", interfaces: [["ddp/reducer/reducer", "PrepareOptions"]] },
  { title: "`join`", interfaces: [["ddp/reducer/join", "JoinOptions"]] },
  { title: "`ShardedOptimizer`", interfaces: [["ddp/optimizer/sharded-optimizer", "ShardedOptimizerOptions"]] },
  { title: "`sgd`", interfaces: [["ddp/optimizer/update-rules", "SgdOptions"]] },
  { title: "`adam`", interfaces: [["ddp/optimizer/update-rules", "AdamOptions"]] },
  { title: "`DiLoCo`", interfaces: [["ddp/optimizer/diloco", "DiLoCoOptions"]] },
  {
    title: "`averageGradients` and `distributed` of `webccl/tfjs`",
    interfaces: [["tfjs/average-gradients", "AverageOptions"]],
  },
  {
    title: "`broadcastVariables` of `webccl/tfjs`",
    interfaces: [["tfjs/broadcast-variables", "BroadcastVariablesOptions"]],
  },
  { title: "`ReduceOp.custom`", interfaces: [["reduce-op", "CustomReduceOpOptions"]] },
  { title: "`broadcastCoalesced`", interfaces: [["ddp/broadcast-coalesced", "BroadcastCoalescedOptions"]] },
  { title: "`Int8State`", interfaces: [["ddp/hooks/quantised/int8", "Int8Options"]] },
  { title: "`PowerSgdState`", interfaces: [["ddp/hooks/power-sgd", "PowerSgdOptions"]] },
  { title: "`TopKState`", interfaces: [["ddp/hooks/top-k", "TopKOptions"]] },
  { title: "`DistributedSampler`", interfaces: [["ddp/distributed-sampler", "DistributedSamplerOptions"]] },
  {
    title: "`scatterCheckpoint`, `loadCheckpoint`",
    interfaces: [["ddp/checkpoint/checkpoint", "CheckpointOptions"]],
  },
  { title: "`gatherCheckpoint` also", interfaces: [["ddp/checkpoint/checkpoint", "GatherCheckpointOptions"]] },
  {
    title: "`columnShard`, `rowShard`, `shardLengths` of `webccl/ort`",
    interfaces: [["ort/shard", "ShardOptions"]],
  },
  { title: "`runRowParallel` of `webccl/ort` also", interfaces: [["ort/row-parallel", "RowParallelOptions"]] },
  { title: "`runColumnParallel` of `webccl/ort` also", interfaces: [["ort/column-parallel", "ColumnParallelOptions"]] },
  {
    title: "`recvActivation` of `webccl/ort`, beside those of `recv`",
    interfaces: [["ort/activation", "RecvActivationOptions"]],
  },
];

/** The page. */
export function buildOptions(): string {
  const parts = [
    "# Options",
    "Every public function that takes options takes them as one trailing object. An absent option has its default. An unknown\n" +
      "name, or a value that is no object, is a `TypeError` that names the option and the nearest one that there is.",
    ...SECTIONS.map(({ title, interfaces }) => [`## ${title}`, table(interfaces.flatMap(rowsOf))].join("\n\n")),
  ];
  return `${parts.join("\n\n")}\n`;
}

interface Row {
  name: string;
  type: string;
  text: string;
}

/** The interface's own options, in the order in which it has them. */
function rowsOf([file, name]: readonly [file: string, name: string]): Row[] {
  const path = fileURLToPath(new URL(`../src/${file}.ts`, import.meta.url));
  const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  const found = source.statements.find((node) => ts.isInterfaceDeclaration(node) && node.name.text === name);
  if (!found || !ts.isInterfaceDeclaration(found)) throw new Error(`${file}.ts has no interface ${name}`);
  return found.members.filter(ts.isPropertySignature).map((member) => ({
    name: member.name.getText(source),
    type: (member.type?.getText(source) ?? "unknown").replace(/ \| undefined$/, "").replace(/\s+/g, " "),
    text: textOf(member),
  }));
}

/** The comment before a member, on one line. */
function textOf(member: ts.PropertySignature): string {
  const comments = ts.getJSDocCommentsAndTags(member).filter(ts.isJSDoc);
  const text = comments.map(({ comment }) => ts.getTextOfJSDocComment(comment) ?? "").join(" ");
  return text.replace(/\n- /g, "; ").replace(/\s+/g, " ").trim();
}

/** A table as the formatter of this repository has it. */
function table(rows: readonly Row[]): string {
  const cell = (text: string) => text.replace(/\|/g, "\\|");
  const lines = rows.map(({ name, type, text }) => [`\`${name}\``, `\`${cell(type)}\``, cell(text)]);
  const all = [["option", "type", "meaning"], ...lines];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((line) => (line[column] ?? "").length)));
  const line = (cells: readonly string[]) => `| ${cells.map((text, i) => text.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = all;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}

if (pathToFileURL(process.argv[1] ?? "").href === import.meta.url) {
  takesNoWords("npm run build:options: writes docs/options.md");
  writeFileSync(OUTPUT, buildOptions());
}
