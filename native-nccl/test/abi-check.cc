// Compiled against a real nccl.h by abi.sh: every value, size and offset of src/core/abi.h is that header's. NCCL's own header
// includes two of CUDA's; abi.sh puts empty stand-ins of them beside it, with the names below.
#include <nccl.h>

#include <type_traits>
#include <utility>

#include "../src/core/library.h"

using namespace webccl;

static_assert(NCCL_VERSION_CODE >= kOldestNccl && NCCL_VERSION(2, 18, 3) == ncclVersionCode(2, 18, 3));

static_assert(ncclSuccess == kNcclSuccess && ncclUnhandledCudaError == kNcclUnhandledCudaError);
static_assert(ncclSystemError == kNcclSystemError && ncclInternalError == kNcclInternalError);
static_assert(ncclInvalidArgument == kNcclInvalidArgument && ncclInvalidUsage == kNcclInvalidUsage);
static_assert(ncclRemoteError == kNcclRemoteError && ncclInProgress == kNcclInProgress);
static_assert(sizeof(ncclResult_t) == sizeof(NcclResult) && sizeof(ncclRedOp_t) == sizeof(NcclRedOp));
static_assert(sizeof(ncclDataType_t) == sizeof(NcclDataType) && sizeof(ncclScalarResidence_t) == sizeof(int));

static_assert(ncclSum == kNcclSum && ncclProd == kNcclProd && ncclMax == kNcclMax && ncclMin == kNcclMin);
static_assert(ncclAvg == kNcclAvg && ncclNumOps == 5);

static_assert(ncclInt8 == kNcclInt8 && ncclUint8 == kNcclUint8 && ncclInt32 == kNcclInt32);
static_assert(ncclUint32 == kNcclUint32 && ncclInt64 == kNcclInt64 && ncclUint64 == kNcclUint64);
static_assert(ncclFloat16 == kNcclFloat16 && ncclFloat32 == kNcclFloat32 && ncclFloat64 == kNcclFloat64);
static_assert(ncclBfloat16 == kNcclBfloat16 && ncclScalarHostImmediate == kNcclScalarHostImmediate);

#if NCCL_VERSION_CODE >= 22400
static_assert(ncclFloat8e4m3 == kNcclFloat8e4m3 && ncclFloat8e5m2 == kNcclFloat8e5m2);
#endif

static_assert(sizeof(ncclUniqueId) == sizeof(NcclUniqueId) && NCCL_UNIQUE_ID_BYTES == kNcclUniqueIdBytes);
static_assert(NCCL_CONFIG_UNDEF_INT == kNcclUndefined && NCCL_CONFIG_UNDEF_PTR == nullptr);

#define SAME(ours, field) static_assert(offsetof(ncclConfig_t, field) == offsetof(ours, field))
SAME(NcclConfigV214, size);
SAME(NcclConfigV214, magic);
SAME(NcclConfigV214, version);
SAME(NcclConfigV214, blocking);
SAME(NcclConfigV218, blocking);
SAME(NcclConfigV218, cgaClusterSize);
SAME(NcclConfigV218, minCTAs);
SAME(NcclConfigV218, maxCTAs);
SAME(NcclConfigV218, netName);
SAME(NcclConfigV218, splitShare);
#if NCCL_VERSION_CODE >= 22700
SAME(NcclConfigV227, trafficClass);
SAME(NcclConfigV227, commName);
SAME(NcclConfigV227, collnetEnable);
SAME(NcclConfigV227, CTAPolicy);
SAME(NcclConfigV227, shrinkShare);
SAME(NcclConfigV227, nvlsCTAs);
#else
static_assert(sizeof(ncclConfig_t) == sizeof(NcclConfigV218));
#endif

// The functions, with NCCL's types in place of ours: as many parameters, each passed the same way.
template <typename T>
struct Passed {
  using type = std::conditional_t<std::is_pointer_v<T>, void*, std::conditional_t<std::is_enum_v<T>, int, T>>;
};
template <>
struct Passed<ncclUniqueId> {
  using type = NcclUniqueId;
};
template <typename R, typename... A>
typename Passed<R>::type (*passed(R (*)(A...)))(typename Passed<A>::type...);

#define SAME_CALL(function, ours) static_assert(std::is_same_v<decltype(passed(&function)), decltype(passed(std::declval<Nccl>().ours))>)
SAME_CALL(ncclGetVersion, version);
SAME_CALL(ncclGetUniqueId, uniqueId);
SAME_CALL(ncclCommInitRank, initRank);
SAME_CALL(ncclCommInitRankConfig, initRankConfig);
SAME_CALL(ncclCommInitAll, initAll);
SAME_CALL(ncclCommFinalize, finalize);
SAME_CALL(ncclCommDestroy, destroy);
SAME_CALL(ncclCommAbort, abort);
SAME_CALL(ncclCommSplit, split);
SAME_CALL(ncclCommGetAsyncError, asyncError);
SAME_CALL(ncclCommCount, count);
SAME_CALL(ncclCommUserRank, userRank);
SAME_CALL(ncclRedOpCreatePreMulSum, createPreMulSum);
SAME_CALL(ncclRedOpDestroy, destroyRedOp);
SAME_CALL(ncclAllReduce, allReduce);
SAME_CALL(ncclReduce, reduce);
SAME_CALL(ncclBroadcast, broadcast);
SAME_CALL(ncclAllGather, allGather);
SAME_CALL(ncclReduceScatter, reduceScatter);
SAME_CALL(ncclSend, send);
SAME_CALL(ncclRecv, recv);
SAME_CALL(ncclGroupStart, groupStart);
SAME_CALL(ncclGroupEnd, groupEnd);
#if NCCL_VERSION_CODE >= 22700
SAME_CALL(ncclCommShrink, shrink);
#endif
