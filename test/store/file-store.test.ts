import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
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
    writeFileSync(`${path}.lock`, `${process.pid} 1`);
    const store = new FileStore(path);
    store.timeoutMs = 1_000;
    await store.set("key", "1");
    expect(await store.numKeys()).toBe(1);
  });

  it("takes over an old lock that was never written", async () => {
    const path = join(temporaryFolder(), "store");
    writeFileSync(`${path}.lock`, "");
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

  it("refuses a file that is not its own", async () => {
    const path = join(temporaryFolder(), "store");
    writeFileSync(path, new Uint8Array([9, 1, 0, 0, 0, 0, 0, 0, 0, 65]));
    await expect(new FileStore(path).check(["key"])).rejects.toThrow(StoreError);
  });
});
