/**
 * For people who write a backend, a transport or a store: the conformance suites of a process group, with its
 * reference arithmetic, and of a store. Nothing here depends on a test runner or on a platform.
 * @module
 */
export { DebugBackend } from "../backend/composed/debug.ts";
export { FakeBackend } from "../backend/composed/fake.ts";
export { RoundRobinBackend } from "../backend/composed/round-robin.ts";
export type { Admission, Executor, Flow, Handle, Lease, Packing, Span } from "../executor/executor.ts";
export type { Destination, Link, LinkReceiver, Payload } from "../link/link.ts";
export { SeededRandom } from "../support/seeded-random.ts";
export type { Checksums, RunningChecksum } from "../wire/checksum.ts";
export { type BackendCase, type BackendFilter, backendCases } from "./backend-cases.ts";
export { CaseData, type DataKey, type Inputs } from "./case-data.ts";
export { CASE_OPS, type CaseOp, opFits, opOfRank } from "./case-op.ts";
export {
  CASE_COLLECTIVES,
  CASE_COUNTS,
  type CaseFilter,
  type ConformanceCase,
  conformanceCase,
  conformanceCases,
  isCase,
  PERSISTENT_CASES,
} from "./conformance.ts";
export { digest } from "./digest.ts";
export { type ExecutorCase, type ExecutorFilter, executorCases } from "./executor-cases.ts";
export { gpuMemory } from "./gpu-memory.ts";
export { LINK_CASES, type LinkCase, type LinkPair } from "./link-cases.ts";
export { hostMemory, type Placement, type TestMemory } from "./memory.ts";
export { type Factors, type PairFilter, pairwiseCover, type Row } from "./pairwise.ts";
export {
  arrayOf,
  combineElements,
  decodeSmallFloat,
  encodeSmallFloat,
  finishElements,
  foldElements,
  prepareElements,
  type SmallFloat,
} from "./reference.ts";
export { type CaseResult, type CaseSpec, ConformanceError } from "./stage.ts";
export type { StoreCase, StoreUnderTest } from "./stores/checks.ts";
export { type StoreLimits, storeCases } from "./stores/conformance.ts";
