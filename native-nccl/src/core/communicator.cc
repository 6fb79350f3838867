#include "communicator.h"

#include <chrono>

namespace webccl {
namespace {

// From here on NCCL's calls are made to return at once, so that no missing peer can hold a lane in one.
constexpr int kNonBlockingSince = ncclVersionCode(2, 18, 0);
// How long the end of a communicator may wait for its last bytes to leave.
constexpr auto kFinalizeFor = std::chrono::seconds(2);

}  // namespace

std::shared_ptr<Communicator> Communicator::create(int device, const Config& config) {
  nccl();
  cuda();
  std::shared_ptr<Communicator> communicator(new Communicator(device, config));
  communicator->begin();
  return communicator;
}

void Communicator::initRank(int size, const NcclUniqueId& id, int rank) {
  push([this, size, id, rank] {
    void* configuration = this->configuration();
    check(configuration ? nccl().initRankConfig(&comm_, size, id, rank, configuration)
                        : nccl().initRank(&comm_, size, id, rank),
          "ncclCommInitRank");
  });
}

void Communicator::adopt(NcclComm comm) {
  push([this, comm] { comm_ = comm; });
}

void Communicator::split(int color, int key, std::function<void(NcclComm, int, int)> then) {
  push([this, color, key, then = std::move(then)] {
    if (!nccl().split) throw CallError("split needs NCCL 2.18 or later, and this one is older");
    NcclComm comm = nullptr;
    check(nccl().split(comm_, color < 0 ? -1 : color, key, &comm, configuration()), "ncclCommSplit");
    if (comm) {
      NcclResult state = kNcclInProgress;
      waitUntil([&] { return nccl().asyncError(comm, &state) != kNcclSuccess || state != kNcclInProgress; });
      if (state != kNcclSuccess) throw CallError("ncclCommSplit: " + ncclErrorText(state, comm));
    }
    int rank = 0, size = 0;
    if (comm) {
      check(nccl().userRank(comm, &rank), "ncclCommUserRank");
      check(nccl().count(comm, &size), "ncclCommCount");
    }
    then(comm, rank, size);
  });
}

void Communicator::run(Collective collective) {
  push([this, collective = std::move(collective)] {
    const CuStream stream = collective.stream ? collective.stream->handle : this->stream(kMain);
    if (collective.stream) alsoFlush(stream, collective.stream);
    const std::shared_ptr<DeviceMemory> memories[] = {collective.send.memory, collective.recv.memory};
    for (const auto& memory : memories) {
      if (!memory) continue;
      memory->begin(stream, kMain);
      keep(memory);
    }
    NcclRedOp op = collective.op;
    const bool own = !collective.factor.empty();
    if (own) {
      if (!nccl().createPreMulSum) throw CallError("PREMUL_SUM needs NCCL 2.11 or later, and this one is older");
      void* factor = const_cast<char*>(collective.factor.data());
      check(nccl().createPreMulSum(&op, factor, collective.dtype, kNcclScalarHostImmediate, comm_),
            "ncclRedOpCreatePreMulSum");
    }
    launch(collective, stream, op);
    if (groupDepth_ > 0) {
      for (const auto& memory : memories) {
        if (memory) groupUses_.emplace_back(memory, stream);
      }
      if (own) groupOps_.push_back(op);
      return;
    }
    if (own) check(nccl().destroyRedOp(op, comm_), "ncclRedOpDestroy");
    for (const auto& memory : memories) {
      if (memory) memory->end(stream, kMain);
    }
  });
}

void Communicator::launch(const Collective& c, CuStream stream, NcclRedOp op) {
  const Nccl& api = nccl();
  const void* from = c.send.memory ? reinterpret_cast<const void*>(c.send.pointer()) : nullptr;
  void* to = c.recv.memory ? reinterpret_cast<void*>(c.recv.pointer()) : nullptr;
  switch (c.kind) {
    case Kind::kAllReduce:
      return check(api.allReduce(from, to, c.count, c.dtype, op, comm_, stream), "ncclAllReduce");
    case Kind::kReduce:
      return check(api.reduce(from, to, c.count, c.dtype, op, c.peer, comm_, stream), "ncclReduce");
    case Kind::kBroadcast:
      return check(api.broadcast(from, to, c.count, c.dtype, c.peer, comm_, stream), "ncclBroadcast");
    case Kind::kAllGather:
      return check(api.allGather(from, to, c.count, c.dtype, comm_, stream), "ncclAllGather");
    case Kind::kReduceScatter:
      return check(api.reduceScatter(from, to, c.count, c.dtype, op, comm_, stream), "ncclReduceScatter");
    case Kind::kSend:
      return check(api.send(from, c.count, c.dtype, c.peer, comm_, stream), "ncclSend");
    case Kind::kRecv:
      return check(api.recv(to, c.count, c.dtype, c.peer, comm_, stream), "ncclRecv");
  }
}

void Communicator::groupStart() {
  push([this] {
    check(nccl().groupStart(), "ncclGroupStart");
    groupDepth_++;
  });
}

void Communicator::groupEnd() {
  push([this] {
    groupDepth_--;
    check(nccl().groupEnd(), "ncclGroupEnd");
    if (groupDepth_ > 0) return;
    for (NcclRedOp op : groupOps_) check(nccl().destroyRedOp(op, comm_), "ncclRedOpDestroy");
    for (auto& [memory, stream] : groupUses_) memory->end(stream, kMain);
    groupOps_.clear();
    groupUses_.clear();
  });
}

void Communicator::createPreMulSum(std::vector<char> factor, NcclDataType dtype, std::function<void(NcclRedOp)> then) {
  push([this, factor = std::move(factor), dtype, then = std::move(then)]() mutable {
    if (!nccl().createPreMulSum) throw CallError("PREMUL_SUM needs NCCL 2.11 or later, and this one is older");
    NcclRedOp op = 0;
    check(nccl().createPreMulSum(&op, factor.data(), dtype, kNcclScalarHostImmediate, comm_), "ncclRedOpCreatePreMulSum");
    then(op);
  });
}

void Communicator::destroyRedOp(NcclRedOp op) {
  push([this, op] { check(nccl().destroyRedOp(op, comm_), "ncclRedOpDestroy"); });
}

void Communicator::dispose() {
  push([this] { finish(); });
  stop();
}

bool Communicator::nonBlocking() const {
  if (!nccl().initRankConfig) return false;
  return config.blocking ? *config.blocking == 0 : nccl().versionCode >= kNonBlockingSince;
}

// The library's ncclConfig_t, in the latest layout that both it and this file know; null before 2.14.
void* Communicator::configuration() {
  if (!nccl().initRankConfig) return nullptr;
  const int blocking = nonBlocking() ? 0 : 1;
  if (nccl().versionCode < ncclVersionCode(2, 18, 0)) {
    config214_ = {sizeof config214_, kNcclConfigMagic, static_cast<unsigned>(ncclVersionCode(2, 14, 0)), blocking};
    return &config214_;
  }
  config218_ = {sizeof config218_,
                kNcclConfigMagic,
                static_cast<unsigned>(ncclVersionCode(2, 18, 0)),
                blocking,
                config.cgaClusterSize.value_or(kNcclUndefined),
                config.minCtas.value_or(kNcclUndefined),
                config.maxCtas.value_or(kNcclUndefined),
                config.netName.empty() ? nullptr : config.netName.c_str(),
                config.splitShare.value_or(kNcclUndefined)};
  return &config218_;
}

void Communicator::check(NcclResult result, const char* what) {
  if (result == kNcclInProgress) return settle(what);
  if (result != kNcclSuccess) throw CallError(std::string(what) + ": " + ncclErrorText(result, comm_));
}

// A call of a communicator that does not block is done when its state says so.
void Communicator::settle(const char* what) {
  if (!comm_ || groupDepth_ > 0) return;
  NcclResult state = kNcclInProgress;
  waitUntil([&] { return nccl().asyncError(comm_, &state) != kNcclSuccess || state != kNcclInProgress; });
  if (state != kNcclSuccess) throw CallError(std::string(what) + ": " + ncclErrorText(state, comm_));
}

std::string Communicator::asyncError() {
  NcclResult state = kNcclSuccess;
  if (!comm_ || ended_ || nccl().asyncError(comm_, &state) != kNcclSuccess) return "";
  if (state == kNcclSuccess || state == kNcclInProgress) return "";
  return "NCCL found an error: " + ncclErrorText(state, comm_);
}

void Communicator::onFailure() {
  groupUses_.clear();
  groupOps_.clear();
  // A group is a matter of the thread that opened it: within it an abort would wait for the group's end.
  if (groupDepth_ > 0) std::thread([this] { abortOnce(); }).join();
  else abortOnce();
}

void Communicator::onStop() { abortOnce(); }

void Communicator::unblock() { abortOnce(); }

void Communicator::abortOnce() {
  if (comm_ && !ended_.exchange(true)) nccl().abort(comm_);
}

void Communicator::finish() {
  if (!comm_ || ended_) return;
  if (nonBlocking() && nccl().finalize) {
    const auto deadline = std::chrono::steady_clock::now() + kFinalizeFor;
    NcclResult state = nccl().finalize(comm_);
    if (state == kNcclInProgress || state == kNcclSuccess) {
      waitUntil([&] {
        const bool asked = nccl().asyncError(comm_, &state) == kNcclSuccess;
        return !asked || state != kNcclInProgress || std::chrono::steady_clock::now() > deadline;
      });
    }
    if (state != kNcclSuccess) return abortOnce();
  }
  if (!ended_.exchange(true)) nccl().destroy(comm_);
}

}  // namespace webccl
