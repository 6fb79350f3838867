/** The store of `redis://`: over a client of its own, by the package `redis`, an optional peer dependency. */
import { TimeoutError, UnsupportedError } from "../../errors.ts";
import { LONGEST_DELAY_MS, startTimer } from "../../support/clock.ts";
import { textOf } from "../../support/thrown.ts";
import { type RedisClientLike, RedisStore } from "./redis-store.ts";

/** The part of the package that is used. */
interface RedisPackage {
  createClient(options: { url: string; socket: { reconnectStrategy: (tries: number) => number } }): RedisClientLike & {
    on(event: "error", listener: (error: unknown) => void): unknown;
    connect(): Promise<unknown>;
    destroy?(): void;
    disconnect?(): Promise<void>;
  };
}

/** Named in a variable, so that neither a compiler nor a bundler asks for a package that may be absent. */
const PACKAGE: string = "redis";

/** Closes its client with it. */
class OwnRedisStore extends RedisStore {
  readonly #end: () => unknown;

  constructor(client: RedisClientLike, end: () => unknown) {
    super(client);
    this.#end = end;
  }

  override async close(): Promise<void> {
    await super.close();
    this.#end();
  }
}

/**
 * Connects to the server at `url`, which is tried again until `timeoutMs` have passed.
 * @throws UnsupportedError if the package is not installed; TimeoutError if no server answered.
 */
export async function openRedisStore(url: string, timeoutMs: number): Promise<RedisStore> {
  let redis: RedisPackage;
  try {
    redis = (await import(PACKAGE)) as RedisPackage;
  } catch (cause) {
    throw new UnsupportedError("redis:// needs the package redis: `npm install redis`", { cause });
  }
  // Ranks that were started together do not come again together.
  const reconnectStrategy = (tries: number) => Math.min(20 * 1.5 ** tries, 500) * (0.5 + Math.random());
  const client = redis.createClient({ url, socket: { reconnectStrategy } });
  let last: unknown;
  client.on("error", (error) => {
    last = error;
  });
  const end = () => (client.destroy ? client.destroy() : client.disconnect?.());
  await new Promise<void>((resolve, reject) => {
    const timer = startTimer(Math.min(timeoutMs, LONGEST_DELAY_MS), () => {
      end();
      const { host } = new URL(url);
      reject(
        new TimeoutError(`no Redis server answered at ${host} within ${timeoutMs} ms: ${textOf(last)}`, {
          cause: last,
        }),
      );
    });
    client
      .connect()
      .then(() => resolve(), reject)
      .finally(() => timer.cancel());
  });
  return new OwnRedisStore(client, end);
}
