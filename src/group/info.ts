/** What `group.info()` tells. */
import type { GpuMemory } from "../executor/gpu-executor.ts";
import type { LinkKind } from "../link/link.ts";
import type { Runtime } from "../types.ts";

/** What `group.info()` returns. */
export interface GroupInfo {
  /** The group's name. */
  name: string;
  /** This rank in the group. */
  rank: number;
  /** How many ranks the group has. */
  size: number;
  /** As of the group. */
  epoch: number;
  /** Frames of epochs that are over, which this rank has dropped. */
  droppedFrames: number;
  /** The backend that runs the group's calls. */
  backend: string;
  /** Whose memory and arithmetic this rank has: the cpu's, and a GPU's if one is open. */
  executors: { name: string; description: string; arithmeticId: string }[];
  /** Why there is a GPU, or why not. */
  gpu: string;
  /** What webccl holds of its memory; null if none is open. */
  gpuMemory: GpuMemory | null;
  /** Why this rank is on NCCL, or why not: which rank cannot, and what is missing there. */
  nccl: string;
  /** With which ranks of the job, as it began, this one has mapped memory in common and how, or why with none. */
  mappedMemory: string;
  /** With which ranks of the job, as it began, this one shares files in memory, or why with none. */
  sharedFile: string;
  /** With which ranks of this group this one has WebSockets of its own, and with which it has none and why: another host cannot reach a loopback address. */
  websocket: string;
  /** With which ranks this one has data channels, or why with none. */
  webrtc: string;
  /** What does not run on the group's backend, or not as elsewhere. */
  notes: readonly string[];
  /** Do all ranks compute the same bits? If not, algorithms in which several ranks compute an element are not used. */
  sameArithmetic: boolean;
  /** Do results depend on inputs and rank order alone? */
  deterministic: boolean;
  /** Milliseconds for each call that names none. */
  timeoutMs: number;
  /** Most bytes of a long tensor that travel as one message. */
  segmentBytes: number;
  /**
   * How the ranks of this group are joined to this one; this rank's own entry has link "self". `cudaDevice` is the device
   * with which a rank of this group takes part in NCCL, or null if it does not. `checksums` says whether the frames of this
   * link have checksums.
   */
  ranks: {
    rank: number;
    runtime: Runtime;
    version: string;
    link: LinkKind | "self";
    checksums: boolean;
    cudaDevice: number | null;
  }[];
}
