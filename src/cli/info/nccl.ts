/** NCCL, as `webccl info` finds it. */

import { type NcclLibrary, ncclVersionText } from "../../backend/nccl/library.ts";
import { textOf } from "../../support/thrown.ts";
import { importOptional } from "../optional.ts";

/** The package @webccl/nccl and what it opens. */
export interface NcclInfo {
  /** NCCL's version, such as "2.27.7"; null if it cannot be used here. */
  version: string | null;
  libnccl: string | null;
  libcuda: string | null;
  /** The newest CUDA that the driver knows, such as "12.4". */
  cuda: string | null;
  devices: { name: string; computeCapability: string; memoryBytes: number }[];
  /** What is missing and what to do; null if nothing is. */
  fix: string | null;
}

/** Opens both libraries, if the package is there. */
export async function ncclInfo(): Promise<NcclInfo> {
  try {
    const nccl = await importOptional<NcclLibrary>("@webccl/nccl", "NCCL needs it");
    const { version, driver, driverPath, path, devices } = await nccl.load();
    return {
      version: ncclVersionText(version),
      libnccl: path,
      libcuda: driverPath,
      cuda: `${Math.floor(driver / 1000)}.${(driver % 1000) / 10}`,
      devices: devices.map(({ name, computeCapability, totalMemory }) => ({
        name,
        computeCapability,
        memoryBytes: totalMemory,
      })),
      fix: null,
    };
  } catch (error) {
    const fix = textOf(error);
    return { version: null, libnccl: null, libcuda: null, cuda: null, devices: [], fix };
  }
}

/** In one line. */
export function describeNccl({ version, libnccl, libcuda, cuda, devices, fix }: NcclInfo): string {
  if (fix !== null) return `missing: ${fix}`;
  const each = devices.map(
    ({ name, computeCapability, memoryBytes }) =>
      `${name} (${computeCapability}, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB)`,
  );
  return `${version} from ${libnccl}, CUDA ${cuda} from ${libcuda}, ${devices.length} devices: ${each.join(", ")}`;
}
