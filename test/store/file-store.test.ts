import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { StoreError, TimeoutError } from "../../src/errors.ts";
import { FileStore } from "../../src/node/file-store/file-store.ts";
import { SeededRandom } from "../../src/testing/index.ts";

const child = fileURLToPath(new URL("./file-store-child.ts", import.meta.url));
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "webccl-file-store-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function run(...args: string[]): ChildProcess {
  const process_ = spawn(process.execPath, ["--import", "tsx", child, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void process_.kill("SIGKILL"));
  return process_;
}

describe("FileStore", () => {
  it("loses no add() of three processes and leaves no lock", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "store");
    const codes = await Promise.all([1, 2, 3].map(async () => (await once(run("count", path, "100"), "exit"))[0]));
    expect(codes).toEqual([0, 0, 0]);
    expect(text(await new FileStore(path).get("counter"))).toBe("300");
    expect(readdirSync(folder)).toEqual(["store"]);
  });

  it("waits for a lock that is held, and takes over that of a killed process", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "store");
    const holder = run("hold", `${path}.lock`);
    await once(holder.stdout!, "data");
    const store = new FileStore(path);
    store.timeoutMs = 100;
    await expect(store.set("key", "1")).rejects.toThrow(TimeoutError);
    await expect(store.set("key", "1")).rejects.toThrow(new RegExp(`process ${holder.pid}`));
    holder.kill("SIGKILL");
    await once(holder, "exit");
    await store.set("key", "1");
    expect(text(await store.get("key"))).toBe("1");
    expect(readdirSync(folder)).toEqual(["store"]);
  });

  it("takes over a lock whose pid belongs to a later process", async () => {
    const path = join(temporaryFolder(), "store");
    writeFileSync(`${path}.lock`, `${process.pid} 1`, { mode: 0o600 });
    const store = new FileStore(path);
    store.timeoutMs = 1_000;
    await store.set("key", "1");
    expect(await store.numKeys()).toBe(1);
  });

  it("takes over an old lock that was never written", async () => {
    const path = join(temporaryFolder(), "store");
    writeFileSync(`${path}.lock`, "", { mode: 0o600 });
    const past = new Date(Date.now() - 60_000);
    utimesSync(`${path}.lock`, past, past);
    const store = new FileStore(path);
    store.timeoutMs = 1_000;
    await store.set("key", "1");
    expect(await store.numKeys()).toBe(1);
  });

  it("cuts off what a crash left of a record", async () => {
    const path = join(temporaryFolder(), "store");
    await new FileStore(path).set("before", "1");
    appendFileSync(path, new Uint8Array([1, 200, 0, 0, 0, 5, 0, 0]));
    const reader = new FileStore(path);
    expect(text(await reader.get("before"))).toBe("1");
    await new FileStore(path).set("after", "2");
    expect(text(await reader.get("after"))).toBe("2");
    expect(await reader.numKeys()).toBe(2);
  });

  it("is removed by the last user of a known worldSize", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "store");
    const first = new FileStore(path, 2);
    const second = new FileStore(path, 2);
    await first.set("key", "1");
    await first.close();
    expect(existsSync(path)).toBe(true);
    expect(await second.numKeys()).toBe(1);
    await second.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([2, 3, 5])("loses nothing where %i users close it and open it again, each in its own time", async (users) => {
    const path = join(temporaryFolder(), "again");
    const random = new SeededRandom(users);
    const pauses = Array.from({ length: users * 30 }, () => random.below(4));
    const user = async (rank: number) => {
      for (let round = 0; round < 30; round++) {
        const store = new FileStore(path, users);
        store.timeoutMs = 10_000;
        for (let i = pauses[round * users + rank]!; i > 0; i--) await store.check([]);
        await store.set(`${round}/${rank}`, "here");
        await store.wait(Array.from({ length: users }, (_, other) => `${round}/${other}`));
        await store.close();
      }
    };
    await Promise.all(Array.from({ length: users }, (_, rank) => user(rank)));
    expect(existsSync(path)).toBe(false);
  });

  it("begins anew where another file has taken its path", async () => {
    const path = join(temporaryFolder(), "replaced");
    const [first, second] = [new FileStore(path), new FileStore(path)];
    await first.set("long", "a value that is longer than all that comes after it");
    expect(await second.check(["long"])).toBe(true);
    rmSync(path);
    await second.set("a", "1");
    expect(await first.check(["long"])).toBe(false);
    await first.set("b", "2");
    expect([text(await second.get("a")), text(await second.get("b"))]).toEqual(["1", "2"]);
  });

  it("refuses an empty path, a worldSize of 0, and a folder that is not there", async () => {
    expect(() => new FileStore("")).toThrow(TypeError);
    expect(() => new FileStore("/store", 0)).toThrow(RangeError);
    const store = new FileStore(join(temporaryFolder(), "no", "such", "store"));
    await expect(store.set("key", "1")).rejects.toThrow(StoreError);
  });

  const FOREIGN: readonly [string, Uint8Array][] = [
    ["text", new TextEncoder().encode("a file of somebody else, which is to stay as it is\n")],
    ["a record of the format before", new Uint8Array([1, 1, 0, 0, 0, 0, 0, 0, 0, 65])],
    ["zeros", new Uint8Array(100)],
    ["a beginning that is nearly right", new TextEncoder().encode("webccl FileStore 1\n")],
  ];

  it.each(FOREIGN)("refuses a file that is not its own, and leaves it as it is: %s", async (_name, bytes) => {
    const path = join(temporaryFolder(), "store");
    writeFileSync(path, bytes, { mode: 0o600 });
    const store = new FileStore(path, 2);
    for (const call of [() => store.check(["key"]), () => store.set("key", "1"), () => store.add("n", 1)]) {
      await expect(call()).rejects.toThrow(StoreError);
      await expect(call()).rejects.toThrow(/is no FileStore .* Remove it, or choose another path/);
    }
    expect(new Uint8Array(readFileSync(path))).toEqual(bytes);
  });

  it("refuses a file of which any byte has been changed, or gives what was written", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "store");
    const store = new FileStore(path);
    await store.set("key", "value");
    await store.queuePush("queue", "one");
    const good = readFileSync(path);
    const random = new SeededRandom(4, "flips");
    for (let round = 0; round < 60; round++) {
      const changed = Buffer.from(good);
      const at = random.below(good.length);
      changed[at] = changed[at]! ^ (1 << random.below(8));
      const copy = join(folder, `flipped ${round}`);
      writeFileSync(copy, changed, { mode: 0o600 });
      await expect(new FileStore(copy).check(["key"]), `a bit of byte ${at}`).rejects.toThrow(/has been changed/);
    }
  });

  it("makes its file for this user alone, and refuses one that others may open, or of another user", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "store");
    const umask = process.umask(0);
    try {
      await new FileStore(path).set("key", "1");
    } finally {
      process.umask(umask);
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
    for (const mode of [0o644, 0o640, 0o606]) {
      chmodSync(path, mode);
      await expect(new FileStore(path).get("key")).rejects.toThrow(
        new RegExp(`other users may open it .*${mode.toString(8)}`),
      );
    }
    chmodSync(path, 0o600);
    if (process.getuid?.() === 0) {
      chownSync(path, 65_534, 65_534);
      await expect(new FileStore(path).get("key")).rejects.toThrow(/belongs to user 65534/);
      await expect(new FileStore(path).set("key", "2")).rejects.toThrow(/belongs to user 65534/);
    }
  });

  it.each(["store", "store.lock"])("follows no link and waits at no pipe where %s should be", async (name) => {
    const folder = temporaryFolder();
    const path = join(folder, "store");
    const target = join(folder, "target");
    writeFileSync(target, "the file of somebody else");
    for (const make of [
      () => symlinkSync(target, join(folder, name)),
      () => symlinkSync(join(folder, "nowhere"), join(folder, name)),
      () => execFileSync("mkfifo", ["-m", "600", join(folder, name)]),
      () => mkdirSync(join(folder, name)),
    ]) {
      make();
      const store = new FileStore(path);
      store.timeoutMs = 1_000;
      await expect(store.set("key", "1"), make.toString()).rejects.toThrow(StoreError);
      rmSync(join(folder, name), { recursive: true });
    }
    expect(readFileSync(target, "utf8")).toBe("the file of somebody else");
    expect(existsSync(join(folder, "nowhere"))).toBe(false);
  });
});
