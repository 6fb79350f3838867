/** WebGPU's flags, by the numbers that its specification gives: no runtime has to have the globals. */
import { TENSOR_FLAGS } from "../../tensor/gpu.ts";

/** GPUBufferUsage. */
export const BUFFER_USAGE = { ...TENSOR_FLAGS, MAP_READ: 0x1, UNIFORM: 0x40, QUERY_RESOLVE: 0x200 } as const;

/** GPUMapMode.READ. */
export const MAP_READ_MODE = 0x1;

/** The usage of a tensor's buffer. */
export const TENSOR_USAGE = BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST;
