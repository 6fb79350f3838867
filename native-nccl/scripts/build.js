/**
 * Builds the addon with a C++17 compiler and nothing else: `node scripts/build.js`. The headers of Node-API come from npm
 * packages; no CUDA, no NCCL, no node-gyp, nothing is downloaded.
 *
 *   --stand-in   also builds the stand-ins that the tests use (test/stand-in/)
 *   --sanitize   builds everything with AddressSanitizer, into build/sanitize/
 *   --force      builds even files that are newer than their sources
 *   --prebuilt   builds the addon for x64 and arm64 instead, into prebuilt/: what the published package has. For the processor that
 *                is not this machine's it takes Debian's cross compiler (g++-aarch64-linux-gnu, g++-x86-64-linux-gnu)
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);

/** The paths of the outputs. */
export function outputs({ sanitize = false } = {}) {
  const folder = join(root, "build", sanitize ? "sanitize" : "release");
  const standIn = join(folder, "stand-in");
  return {
    addon: join(folder, "webccl_nccl.node"),
    standIn,
    cuda: join(standIn, "libcuda.so.1"),
    nccl: join(standIn, "libnccl.so.2"),
    incomplete: join(standIn, "incomplete", "libnccl.so.2"),
  };
}

/** Files in a folder and below that end in .h or .cc. */
const sources = (folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => /\.(h|cc)$/.test(name))
    .map((name) => join(root, folder, name));

const modified = (file) => (existsSync(file) ? statSync(file).mtimeMs : 0);

/** Runs the compiler, or throws with its messages. */
function compile(target, inputs, flags, force, compiler = process.env.CXX ?? "c++") {
  const newest = Math.max(...inputs.map(modified), modified(fileURLToPath(import.meta.url)));
  if (!force && modified(target) > newest) return;
  mkdirSync(dirname(target), { recursive: true });
  const units = inputs.filter((file) => file.endsWith(".cc"));
  const common = ["-std=c++17", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra"];
  // Several test runners may build at once, and others load the old file meanwhile.
  const fresh = `${target}.${process.pid}`;
  const { status, error, stderr } = spawnSync(compiler, [...common, ...units, "-o", fresh, ...flags], {
    encoding: "utf8",
  });
  if (error) {
    throw new Error(
      `${compiler} could not be started (${error.message}): install a C++17 compiler, such as g++, or set CXX`,
    );
  }
  if (stderr) console.error(stderr);
  if (status !== 0) throw new Error(`${compiler} failed on ${target}`);
  renameSync(fresh, target);
}

/** What the addon's sources are compiled with, in any mode. */
function addonFlags() {
  const includes = [`-I${headers("node-addon-api")}`, `-I${join(headers("node-api-headers"), "include")}`];
  return [...includes, "-DNODE_ADDON_API_CPP_EXCEPTIONS", "-DNAPI_VERSION=8", "-ldl"];
}

/** Node's names of the processors, and GNU's. */
const PROCESSORS = { x64: "x86_64", arm64: "aarch64" };

/** Builds the addon for each processor into `folder`, and returns the paths. */
export function buildPrebuilt(folder = join(root, "prebuilt")) {
  return Object.entries(PROCESSORS).map(([arch, name]) => {
    const target = join(folder, `linux-${arch}`, "webccl_nccl.node");
    const flags = ["-O2", "-DNDEBUG", "-s", ...addonFlags()];
    const compiler = arch === process.arch ? undefined : `${name}-linux-gnu-g++`;
    compile(target, sources("src"), flags, true, compiler);
    return target;
  });
}

/** The folder of a package of headers, wherever npm put it. */
function headers(name) {
  try {
    return dirname(require.resolve(`${name}/package.json`));
  } catch {
    throw new Error(`the package ${name} is not installed: run npm install in native-nccl`);
  }
}

/** Builds the files that are older than their sources. */
export function build({ standIn = false, sanitize = false, force = false } = {}) {
  const out = outputs({ sanitize });
  const mode = sanitize ? ["-O1", "-g", "-fsanitize=address", "-fno-omit-frame-pointer"] : ["-O2", "-DNDEBUG"];
  compile(out.addon, sources("src"), [...mode, ...addonFlags()], force);
  if (!standIn) return out;
  const folder = "test/stand-in";
  const file = (name) => join(root, folder, name);
  const abi = join(root, "src", "core", "abi.h");
  // Vector instructions of this very machine: stand-ins are built where they run.
  const fast = sanitize ? mode : ["-O3", "-march=native"];
  const cuda = [file("cuda.cc"), abi];
  const nccl = [
    file("nccl.cc"),
    file("arithmetic.cc"),
    file("arithmetic.h"),
    file("sockets.cc"),
    file("sockets.h"),
    abi,
  ];
  compile(out.cuda, cuda, [...fast, "-Wl,-soname,libcuda.so.1"], force);
  const linked = (library) => [...fast, out.cuda, `-Wl,-rpath,${library}`, "-Wl,-soname,libnccl.so.2"];
  compile(out.nccl, nccl, linked("$ORIGIN"), force);
  // The missing symbol is asked for once, at a load that needs no sanitizer.
  if (!sanitize) compile(out.incomplete, nccl, [...linked("$ORIGIN/.."), "-DWITHOUT_REDUCE_SCATTER"], force);
  return out;
}

if (pathToFileURL(process.argv[1] ?? "").href === import.meta.url) {
  const has = (flag) => process.argv.includes(flag);
  if (has("--prebuilt")) console.log(buildPrebuilt().join("\n"));
  else console.log(build({ standIn: has("--stand-in"), sanitize: has("--sanitize"), force: has("--force") }).addon);
}
