/** `spawnRanks` where there is no page. */
import type { SpawnedRanks, SpawnOptions } from "../bring-up/spawned-ranks.ts";
import { UnsupportedError } from "../errors.ts";

/** Starts workers of a browser's page as ranks. Here it rejects with UnsupportedError. */
export async function spawnRanks(
  _ranks: number,
  _moduleUrl: string | URL,
  _options: SpawnOptions = {},
): Promise<SpawnedRanks> {
  throw new UnsupportedError(
    "spawnRanks starts workers of a browser's page: here start threads with webccl run --threads",
  );
}
