/** WebGPU's flags, by the numbers that its specification gives: no runtime has to have the globals. */
import { TENSOR_FLAGS } from "../../tensor/gpu.ts";

/** WebGPU's GPUBufferUsage, of which Node has no global. The buffer of a tensor needs STORAGE, COPY_SRC and COPY_DST. */
export const GPUBufferUsage = {
  ...TENSOR_FLAGS,
  MAP_READ: 0x1,
  MAP_WRITE: 0x2,
  INDEX: 0x10,
  VERTEX: 0x20,
  UNIFORM: 0x40,
  INDIRECT: 0x100,
  QUERY_RESOLVE: 0x200,
} as const;

/** GPUMapMode.READ. */
export const MAP_READ_MODE = 0x1;

/** The usage of a tensor's buffer. */
export const TENSOR_USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
