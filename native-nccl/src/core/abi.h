// The parts of NCCL's and of the CUDA driver's binary interface that this addon and its stand-in use. No header of either
// is needed to compile; test/abi.sh compiles the assertions of test/abi-check.cc against the real nccl.h.
//
// NCCL: src/nccl.h.in of https://github.com/NVIDIA/nccl, the same in every version where a name exists:
//   2.10  https://github.com/NVIDIA/nccl/blob/v2.10.3-1/src/nccl.h.in   the oldest that is used
//   2.11  https://github.com/NVIDIA/nccl/blob/v2.11.4-1/src/nccl.h.in   ncclRedOpCreatePreMulSum
//   2.14  https://github.com/NVIDIA/nccl/blob/v2.14.3-1/src/nccl.h.in   ncclConfig_t: blocking
//   2.18  https://github.com/NVIDIA/nccl/blob/v2.18.3-1/src/nccl.h.in   ncclConfig_t: CTAs, netName, splitShare; ncclCommSplit
//   2.24  https://github.com/NVIDIA/nccl/blob/v2.24.3-1/src/nccl.h.in   ncclFloat8e4m3, ncclFloat8e5m2
//   2.27  https://github.com/NVIDIA/nccl/blob/v2.27.7-1/src/nccl.h.in   ncclConfig_t: five more fields; ncclCommShrink
// CUDA: https://docs.nvidia.com/cuda/cuda-driver-api/. A cudaStream_t is a CUstream.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>

namespace webccl {

// ---- NCCL

using NcclResult = int;
constexpr NcclResult kNcclSuccess = 0, kNcclUnhandledCudaError = 1, kNcclSystemError = 2, kNcclInternalError = 3,
                     kNcclInvalidArgument = 4, kNcclInvalidUsage = 5, kNcclRemoteError = 6, kNcclInProgress = 7;

using NcclRedOp = int;  // Operations made by ncclRedOpCreatePreMulSum are values from 5 up.
constexpr NcclRedOp kNcclSum = 0, kNcclProd = 1, kNcclMax = 2, kNcclMin = 3, kNcclAvg = 4;

using NcclDataType = int;
constexpr NcclDataType kNcclInt8 = 0, kNcclUint8 = 1, kNcclInt32 = 2, kNcclUint32 = 3, kNcclInt64 = 4, kNcclUint64 = 5,
                       kNcclFloat16 = 6, kNcclFloat32 = 7, kNcclFloat64 = 8, kNcclBfloat16 = 9,
                       kNcclFloat8e4m3 = 10, kNcclFloat8e5m2 = 11;  // both 2.24

constexpr int kNcclScalarHostImmediate = 1;

constexpr std::size_t kNcclUniqueIdBytes = 128;
struct NcclUniqueId {
  char internal[kNcclUniqueIdBytes];
};

using NcclComm = struct NcclCommOpaque*;

constexpr int kNcclUndefined = INT_MIN;  // NCCL_CONFIG_UNDEF_INT, from 2.17 on
constexpr unsigned kNcclConfigMagic = 0xcafebeef;

// 2.14. A newer library reads as many bytes as `size` says and takes its defaults for what `version` did not have.
struct NcclConfigV214 {
  std::size_t size;
  unsigned magic;
  unsigned version;
  int blocking;
};

// 2.18; the layout of 2.17 and one field more.
struct NcclConfigV218 {
  std::size_t size;
  unsigned magic;
  unsigned version;
  int blocking;
  int cgaClusterSize;
  int minCTAs;
  int maxCTAs;
  const char* netName;
  int splitShare;
};

// 2.27. Never sent; here so that the stand-in and the test against the real header see that 2.18's is its beginning.
struct NcclConfigV227 {
  std::size_t size;
  unsigned magic;
  unsigned version;
  int blocking;
  int cgaClusterSize;
  int minCTAs;
  int maxCTAs;
  const char* netName;
  int splitShare;
  int trafficClass;
  const char* commName;
  int collnetEnable;
  int CTAPolicy;
  int shrinkShare;
  int nvlsCTAs;
};

static_assert(sizeof(NcclUniqueId) == 128);
static_assert(sizeof(NcclConfigV214) == 24 && offsetof(NcclConfigV214, blocking) == 16);
static_assert(sizeof(NcclConfigV218) == 48 && offsetof(NcclConfigV218, blocking) == 16);
static_assert(offsetof(NcclConfigV218, cgaClusterSize) == 20 && offsetof(NcclConfigV218, minCTAs) == 24);
static_assert(offsetof(NcclConfigV218, maxCTAs) == 28 && offsetof(NcclConfigV218, netName) == 32);
static_assert(offsetof(NcclConfigV218, splitShare) == 40);
static_assert(sizeof(NcclConfigV227) == 72 && offsetof(NcclConfigV227, splitShare) == 40);
static_assert(offsetof(NcclConfigV227, trafficClass) == 44 && offsetof(NcclConfigV227, commName) == 48);
static_assert(offsetof(NcclConfigV227, collnetEnable) == 56 && offsetof(NcclConfigV227, nvlsCTAs) == 68);

// NCCL_VERSION(): MAJOR * 10000 + MINOR * 100 + PATCH since 2.9.
constexpr int ncclVersionCode(int major, int minor, int patch) { return major * 10000 + minor * 100 + patch; }
constexpr int kOldestNccl = ncclVersionCode(2, 10, 0);

// ---- CUDA driver

using CuResult = int;
constexpr CuResult kCuSuccess = 0, kCuOutOfMemory = 2, kCuNoDevice = 100, kCuNotReady = 600;

using CuDevice = int;
using CuDevicePtr = unsigned long long;
using CuContext = struct CuContextOpaque*;
using CuStream = struct CuStreamOpaque*;
using CuEvent = struct CuEventOpaque*;
struct CuUuid {
  char bytes[16];
};
static_assert(sizeof(CuDevicePtr) == 8 && sizeof(void*) == 8);

constexpr unsigned kCuStreamNonBlocking = 1;
constexpr unsigned kCuEventDefault = 0, kCuEventDisableTiming = 2;
constexpr unsigned kCuMemHostAllocPortable = 1;
constexpr int kCuAttributeMultiprocessors = 16, kCuAttributeMajor = 75, kCuAttributeMinor = 76;

// X(name in the struct, symbol, parameters). Every function returns a CuResult.
#define WEBCCL_CUDA_SYMBOLS(X)                                                                  \
  X(init, "cuInit", (unsigned))                                                                 \
  X(driverVersion, "cuDriverGetVersion", (int*))                                                \
  X(errorString, "cuGetErrorString", (CuResult, const char**))                                  \
  X(deviceCount, "cuDeviceGetCount", (int*))                                                    \
  X(device, "cuDeviceGet", (CuDevice*, int))                                                    \
  X(deviceName, "cuDeviceGetName", (char*, int, CuDevice))                                      \
  X(deviceMemory, "cuDeviceTotalMem_v2", (std::size_t*, CuDevice))                              \
  X(deviceAttribute, "cuDeviceGetAttribute", (int*, int, CuDevice))                             \
  X(deviceUuid, "cuDeviceGetUuid", (CuUuid*, CuDevice))                                         \
  X(devicePciBusId, "cuDeviceGetPCIBusId", (char*, int, CuDevice))                              \
  X(retainContext, "cuDevicePrimaryCtxRetain", (CuContext*, CuDevice))                          \
  X(setContext, "cuCtxSetCurrent", (CuContext))                                                 \
  X(priorityRange, "cuCtxGetStreamPriorityRange", (int*, int*))                                 \
  X(alloc, "cuMemAlloc_v2", (CuDevicePtr*, std::size_t))                                        \
  X(free, "cuMemFree_v2", (CuDevicePtr))                                                        \
  X(allocHost, "cuMemHostAlloc", (void**, std::size_t, unsigned))                               \
  X(freeHost, "cuMemFreeHost", (void*))                                                         \
  X(copyIn, "cuMemcpyHtoDAsync_v2", (CuDevicePtr, const void*, std::size_t, CuStream))          \
  X(copyOut, "cuMemcpyDtoHAsync_v2", (void*, CuDevicePtr, std::size_t, CuStream))               \
  X(copyWithin, "cuMemcpyDtoDAsync_v2", (CuDevicePtr, CuDevicePtr, std::size_t, CuStream))      \
  X(createStream, "cuStreamCreateWithPriority", (CuStream*, unsigned, int))                     \
  X(destroyStream, "cuStreamDestroy_v2", (CuStream))                                            \
  X(waitEvent, "cuStreamWaitEvent", (CuStream, CuEvent, unsigned))                              \
  X(createEvent, "cuEventCreate", (CuEvent*, unsigned))                                         \
  X(destroyEvent, "cuEventDestroy_v2", (CuEvent))                                               \
  X(recordEvent, "cuEventRecord", (CuEvent, CuStream))                                          \
  X(queryEvent, "cuEventQuery", (CuEvent))                                                      \
  X(elapsed, "cuEventElapsedTime", (float*, CuEvent, CuEvent))

// X(name, symbol, first version, parameters). Every function returns an NcclResult.
#define WEBCCL_NCCL_SYMBOLS(X)                                                                                         \
  X(version, "ncclGetVersion", kOldestNccl, (int*))                                                                    \
  X(uniqueId, "ncclGetUniqueId", kOldestNccl, (NcclUniqueId*))                                                         \
  X(initRank, "ncclCommInitRank", kOldestNccl, (NcclComm*, int, NcclUniqueId, int))                                    \
  X(initAll, "ncclCommInitAll", kOldestNccl, (NcclComm*, int, const int*))                                             \
  X(destroy, "ncclCommDestroy", kOldestNccl, (NcclComm))                                                               \
  X(abort, "ncclCommAbort", kOldestNccl, (NcclComm))                                                                   \
  X(count, "ncclCommCount", kOldestNccl, (NcclComm, int*))                                                             \
  X(userRank, "ncclCommUserRank", kOldestNccl, (NcclComm, int*))                                                       \
  X(asyncError, "ncclCommGetAsyncError", kOldestNccl, (NcclComm, NcclResult*))                                         \
  X(reduce, "ncclReduce", kOldestNccl,                                                                                 \
    (const void*, void*, std::size_t, NcclDataType, NcclRedOp, int, NcclComm, CuStream))                               \
  X(broadcast, "ncclBroadcast", kOldestNccl, (const void*, void*, std::size_t, NcclDataType, int, NcclComm, CuStream)) \
  X(allReduce, "ncclAllReduce", kOldestNccl,                                                                           \
    (const void*, void*, std::size_t, NcclDataType, NcclRedOp, NcclComm, CuStream))                                    \
  X(reduceScatter, "ncclReduceScatter", kOldestNccl,                                                                   \
    (const void*, void*, std::size_t, NcclDataType, NcclRedOp, NcclComm, CuStream))                                    \
  X(allGather, "ncclAllGather", kOldestNccl, (const void*, void*, std::size_t, NcclDataType, NcclComm, CuStream))      \
  X(send, "ncclSend", kOldestNccl, (const void*, std::size_t, NcclDataType, int, NcclComm, CuStream))                  \
  X(recv, "ncclRecv", kOldestNccl, (void*, std::size_t, NcclDataType, int, NcclComm, CuStream))                        \
  X(groupStart, "ncclGroupStart", kOldestNccl, ())                                                                     \
  X(groupEnd, "ncclGroupEnd", kOldestNccl, ())                                                                         \
  X(createPreMulSum, "ncclRedOpCreatePreMulSum", ncclVersionCode(2, 11, 0),                                            \
    (NcclRedOp*, void*, NcclDataType, int, NcclComm))                                                                  \
  X(destroyRedOp, "ncclRedOpDestroy", ncclVersionCode(2, 11, 0), (NcclRedOp, NcclComm))                                \
  X(initRankConfig, "ncclCommInitRankConfig", ncclVersionCode(2, 14, 0), (NcclComm*, int, NcclUniqueId, int, void*))   \
  X(finalize, "ncclCommFinalize", ncclVersionCode(2, 14, 0), (NcclComm))                                               \
  X(split, "ncclCommSplit", ncclVersionCode(2, 18, 0), (NcclComm, int, int, NcclComm*, void*))                         \
  X(shrink, "ncclCommShrink", ncclVersionCode(2, 27, 0), (NcclComm, int*, int, NcclComm*, void*, int))

}  // namespace webccl
