/** The names every runtime exports. Each runtime's index re-exports these and adds `initProcessGroup` and its own stores. */

export type {
  Backend,
  BackendContext,
  BackendDevice,
  Call,
  CallTimers,
  CollectiveMethods,
  OwnBackend,
  PersistentRun,
} from "./backend/backend.ts";
export { unsupported } from "./backend/backend.ts";
export type { InitOptions } from "./bring-up/init-options.ts";
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
export type { GroupInfo } from "./group/info.ts";
export { BackendType, OpType } from "./group/op-type.ts";
export type { PersistentCall } from "./group/persistent-call.ts";
export type { PersistentCalls, ProcessGroup } from "./group/process-group.ts";
export { Work, type WorkInfo, type WorkResult } from "./group/work.ts";
export { type DebugLevel, setDebugLevel } from "./logger.ts";
export type {
  AllToAllSingleOptions,
  CollectiveOptions,
  Logger,
  MonitoredBarrierOptions,
  OpOptions,
  PointToPointOptions,
  QueuePopOptions,
  ReduceOptions,
  RootedReduceOptions,
  RootOptions,
} from "./options.ts";
export { DEFAULT_TIMEOUT_MS, NO_TIMEOUT } from "./options.ts";
export { type CustomReduceOpOptions, ReduceOp, type ReduceOpLike, type ReduceOpName } from "./reduce-op.ts";
export type { ObjectRequest, Request } from "./request.ts";
export { HashStore } from "./store/hash-store.ts";
export { PrefixStore } from "./store/prefix-store.ts";
export { type CounterValue, Store, type StoreValue } from "./store/store.ts";
export { evenShare, type Share } from "./support/even-share.ts";
export type { TensorView } from "./tensor/view.ts";
export type { Collective } from "./types.ts";
export {
  type CudaTensor,
  DATA_TYPES,
  type DataType,
  type DeviceBuffer,
  type Float16ArrayLike,
  type GpuTensor,
  type HostArray,
  type HostTensor,
  type HostTensorOf,
  type OrtTensor,
  type ShapedTensor,
  type Tensor,
} from "./types.ts";
