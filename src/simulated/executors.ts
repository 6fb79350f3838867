/** The cpu executors of simulated ranks, and of their hub. They are made once, for many worlds: to make one is real work, which takes real time. */
import { createAddressableCpuExecutor } from "../executor/cpu/cpu-executor.ts";
import type { WasmMemory } from "../executor/cpu/wasm-memory.ts";
import type { HostExecutor } from "../executor/executor.ts";

/** 64 MiB. */
const MAXIMUM_PAGES = 1_024;

/** One executor, and its memory. */
export interface SimulatedExecutor {
  readonly executor: HostExecutor;
  readonly heap: WasmMemory;
}

/** One for each rank, and one for the hub. */
export class SimulatedExecutors {
  readonly #ranks: (SimulatedExecutor | undefined)[] = [];
  #hub: SimulatedExecutor | undefined;

  /** Makes what is missing for `ranks` ranks. */
  async prepare(ranks: number): Promise<void> {
    this.#hub ??= await create();
    for (let rank = 0; rank < ranks; rank++) this.#ranks[rank] ??= await create();
  }

  get hub(): SimulatedExecutor {
    return given(this.#hub);
  }

  of(rank: number): SimulatedExecutor {
    return given(this.#ranks[rank]);
  }

  /** The executors were left by processes that died, and have blocks that nobody gives back. */
  forget(): void {
    this.#ranks.length = 0;
    this.#hub = undefined;
  }
}

function given(executor: SimulatedExecutor | undefined): SimulatedExecutor {
  if (!executor) throw new Error("prepare() was not called");
  return executor;
}

async function create(): Promise<SimulatedExecutor> {
  const created = await createAddressableCpuExecutor(
    new WebAssembly.Memory({ initial: 1, maximum: MAXIMUM_PAGES, shared: true }),
  );
  if (!created) throw new Error("WebAssembly may not run here");
  await created.executor.openChecksums();
  return created;
}
