/** The names every runtime exports. Each runtime's index re-exports these and adds `initProcessGroup` and its own stores. */

export type {
  Backend,
  BackendContext,
  BackendDevice,
  BackendTraffic,
  Call,
  CallTimers,
  CollectiveMethods,
  OwnBackend,
  PersistentRun,
  SatOut,
} from "./backend/backend.ts";
export { unsupported } from "./backend/backend.ts";
export type { BackendChoice, NcclOptions } from "./backend/choice.ts";
export type { IceServer, InitOptions, ListenOptions, TlsOptions } from "./bring-up/init-options.ts";
export type { HubStoreOptions } from "./bring-up/meeting/hub-store.ts";
export type { SpawnedRanks, SpawnOptions } from "./bring-up/spawned-ranks.ts";
export {
  AbortedError,
  AdmissionError,
  DeviceLostError,
  type ErrorCode,
  type ErrorDetails,
  HubLostError,
  IntegrityError,
  MismatchError,
  NoAdapterError,
  PeerLostError,
  ProtocolError,
  StoreError,
  TimeoutError,
  UnsupportedError,
  WebcclError,
} from "./errors.ts";
export { type HashTensorsOptions, hashTensors } from "./executor/checksum/hash-tensors.ts";
export { GPUBufferUsage } from "./executor/webgpu/usage.ts";
export type { NewGroupOptions } from "./group/child/child-group.ts";
export type { GroupInfo } from "./group/info.ts";
export type { MembershipEvent } from "./group/job.ts";
export { BackendType, OpType } from "./group/op-type.ts";
export type { PersistentCall, PersistentCollective } from "./group/persistent-call.ts";
export type { PersistentCalls, ProcessGroup } from "./group/process-group.ts";
export type { DumpOptions, TraceDump, TraceEntry, TraceError, TraceGroup, TraceTensors } from "./group/trace/dump.ts";
export type { CollectiveStats, GroupStats, PeerStats } from "./group/trace/stats.ts";
export { Work, type WorkInfo, type WorkOptions, type WorkResult } from "./group/work.ts";
export type { LinkKind } from "./link/link.ts";
export { type DebugLevel, setDebugLevel } from "./logger.ts";
export type {
  AllToAllSingleOptions,
  CollectiveOptions,
  Logger,
  MembershipOptions,
  MonitoredBarrierOptions,
  OpOptions,
  PointToPointOptions,
  QueuePopOptions,
  ReduceOptions,
  RootedReduceOptions,
  RootOptions,
} from "./options.ts";
export { DEFAULT_TIMEOUT_MS, NO_TIMEOUT } from "./options.ts";
export {
  type CustomReduceOp,
  type CustomReduceOpOptions,
  type NamedReduceOp,
  type PremulSumReduceOp,
  ReduceOp,
  type ReduceOpLike,
  type ReduceOpName,
  type ReduceOps,
} from "./reduce-op.ts";
export type { ObjectRequest, Request } from "./request.ts";
export { HashStore } from "./store/hash-store.ts";
export { PrefixStore } from "./store/prefix-store.ts";
export { type CounterValue, Store, type StoreValue } from "./store/store.ts";
export { StoreCollectives } from "./store/store-collectives.ts";
export { evenShare, type Share } from "./support/even-share.ts";
export type { CudaView, GpuView, HostView, TensorView } from "./tensor/view.ts";
export type { Collective, Runtime } from "./types.ts";
export {
  type CudaTensor,
  DATA_TYPES,
  type DataType,
  type DeviceBuffer,
  type Float16ArrayLike,
  type GpuBufferLike,
  type GpuDeviceLike,
  type GpuTensor,
  type HostArray,
  type HostTensor,
  type HostTensorOf,
  type OrtTensor,
  type ShapedTensor,
  type Tensor,
} from "./types.ts";
