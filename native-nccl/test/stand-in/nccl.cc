// A stand-in for libnccl.so.2, for tests on machines without a GPU: NCCL's ABI over the "device" memory of the stand-in
// beside it (cuda.cc) and sockets between processes. It has NCCL's manners where the addon depends on them: calls that
// return "in progress", groups, errors that come later, calls that never end when ranks differ or a peer is gone. It
// proves that the addon uses the ABI as it says, and nothing about NCCL's or a GPU's speed, arithmetic or faults.
//
//   WEBCCL_STANDIN_NCCL_VERSION=n    what ncclGetVersion says; 22707 by default
//   WEBCCL_STANDIN_FAIL_AT=n         the nth operation of a communicator is refused when it is launched, on rank 1 alone
//   WEBCCL_STANDIN_HANG_AT=n         this rank's nth operation of a communicator never ends, until an abort
//   WEBCCL_STANDIN_ERROR_AT=n        the same, and ncclCommGetAsyncError tells ncclRemoteError
//   WEBCCL_STANDIN_INIT_HANGS=1      no communicator comes to be, until an abort
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "../../src/core/abi.h"
#include "arithmetic.h"
#include "sockets.h"

using namespace webccl;
using standin::Message;
using standin::Outcome;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT NcclResult ncclGetVersion(int* version);
extern "C" void standInMade(int communicators, int operations);
extern "C" const char* standInLeft();
extern "C" CuResult cuLaunchHostFunc(CuStream stream, void (*work)(void*), void* data);

namespace {

int setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

struct State {
  int size = 0, rank = 0;
  std::string name;
  standin::Sockets sockets;
  std::atomic<bool> aborted{false};
  std::atomic<NcclResult> result{kNcclSuccess};
  std::mutex running;  // one operation at a time
  int operations = 0;
  std::atomic<int> submitted{0};
  std::mutex mutex;  // of what follows
  std::map<NcclRedOp, std::vector<char>> factors;
  NcclRedOp nextOp = 5;
  int splits = 0;
};

}  // namespace

namespace webccl {
struct NcclCommOpaque {
  std::shared_ptr<State> state;
};
}  // namespace webccl

namespace {

enum class Kind { kAllReduce, kReduce, kBroadcast, kAllGather, kReduceScatter, kMessages };

struct Operation {
  Kind kind;
  const char* from = nullptr;
  char* to = nullptr;
  std::size_t count = 0;
  NcclDataType dtype = 0;
  NcclRedOp op = 0;
  int root = 0;
  std::vector<char> factor{};
  std::vector<Message> sends{}, receives{};
};

// Never ends until an abort, as an operation of NCCL's whose peers do not take part.
void hang(State& state) {
  while (!state.aborted) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

class Runner {
 public:
  Runner(State& state, const Operation& operation) : state_(state), o_(operation) {}

  void run() {
    const std::size_t bytes = o_.count * standin::bytesPerElement(o_.dtype);
    const auto size = static_cast<std::size_t>(state_.size);
    switch (o_.kind) {
      case Kind::kMessages:
        exchange(o_.sends, o_.receives);
        break;
      case Kind::kBroadcast:
        if (state_.rank == o_.root) {
          std::vector<Message> sends;
          for (int peer : others()) sends.push_back({peer, const_cast<char*>(o_.from), bytes});
          if (exchange(sends, {}) && o_.to != o_.from) std::memmove(o_.to, o_.from, bytes);
        } else {
          exchange({}, {{o_.root, o_.to, bytes}});
        }
        break;
      case Kind::kAllGather: {
        std::vector<Message> sends, receives;
        char* own = o_.to + bytes * static_cast<std::size_t>(state_.rank);
        if (own != o_.from) std::memmove(own, o_.from, bytes);
        for (int peer : others()) {
          sends.push_back({peer, own, bytes});
          receives.push_back({peer, o_.to + bytes * static_cast<std::size_t>(peer), bytes});
        }
        exchange(sends, receives);
        break;
      }
      case Kind::kAllReduce:
      case Kind::kReduce: {
        const bool folds = o_.kind == Kind::kAllReduce || state_.rank == o_.root;
        const std::vector<char> own = prepared(o_.from, o_.count);
        std::vector<Message> sends;
        for (int peer : others()) {
          if (o_.kind == Kind::kAllReduce || peer == o_.root) sends.push_back({peer, const_cast<char*>(own.data()), bytes});
        }
        foldInto(folds ? o_.to : nullptr, own, sends, o_.count);
        break;
      }
      case Kind::kReduceScatter: {
        const std::vector<char> all = prepared(o_.from, o_.count * size);
        std::vector<Message> sends;
        for (int peer : others()) sends.push_back({peer, const_cast<char*>(all.data()) + bytes * static_cast<std::size_t>(peer), bytes});
        const char* part = all.data() + bytes * static_cast<std::size_t>(state_.rank);
        foldInto(o_.to, std::vector<char>(part, part + bytes), sends, o_.count);
        break;
      }
    }
  }

 private:
  std::vector<int> others() const {
    std::vector<int> ranks;
    for (int rank = 0; rank < state_.size; rank++) {
      if (rank != state_.rank) ranks.push_back(rank);
    }
    return ranks;
  }

  bool exchange(std::vector<Message> sends, std::vector<Message> receives) {
    // What a rank sends itself in a group, in order.
    std::vector<Message> toSelf, fromSelf;
    const auto take = [&](std::vector<Message>& all, std::vector<Message>& own) {
      std::vector<Message> rest;
      for (Message& message : all) (message.peer == state_.rank ? own : rest).push_back(message);
      all = rest;
    };
    take(sends, toSelf);
    take(receives, fromSelf);
    for (std::size_t i = 0; i < toSelf.size() && i < fromSelf.size(); i++) {
      std::memmove(fromSelf[i].data, toSelf[i].data, std::min(fromSelf[i].bytes, toSelf[i].bytes));
    }
    const Outcome outcome = state_.sockets.exchange(sends, receives, state_.aborted);
    if (outcome == Outcome::kPeerLost) state_.result = kNcclRemoteError;
    if (outcome != Outcome::kDone) hang(state_);
    return outcome == Outcome::kDone;
  }

  std::vector<char> prepared(const char* from, std::size_t count) const {
    std::vector<char> own(from, from + count * standin::bytesPerElement(o_.dtype));
    if (!o_.factor.empty()) standin::scale(o_.dtype, own.data(), o_.factor.data(), count);
    if (o_.op == kNcclAvg) standin::averageBefore(o_.dtype, own.data(), count, state_.size);
    return own;
  }

  // Sends what is to be sent; if there is a `target`, folds this rank's and the others' inputs in rank order into it.
  void foldInto(char* target, const std::vector<char>& own, const std::vector<Message>& sends, std::size_t count) {
    std::vector<std::vector<char>> inputs(static_cast<std::size_t>(state_.size));
    std::vector<Message> receives;
    if (target) {
      for (int peer : others()) {
        auto& input = inputs[static_cast<std::size_t>(peer)];
        input.resize(own.size());
        receives.push_back({peer, input.data(), input.size()});
      }
    }
    if (!exchange(sends, receives) || !target) return;
    inputs[static_cast<std::size_t>(state_.rank)] = own;
    std::vector<char>& folded = inputs[0];
    const NcclRedOp op = o_.factor.empty() ? o_.op : kNcclSum;
    for (std::size_t peer = 1; peer < inputs.size(); peer++) standin::fold(o_.dtype, op, folded.data(), inputs[peer].data(), count);
    if (op == kNcclAvg) standin::averageAfter(o_.dtype, folded.data(), count, state_.size);
    std::memcpy(target, folded.data(), folded.size());
  }

  State& state_;
  const Operation& o_;
};

void runOne(State& state, const Operation& operation) {
  std::lock_guard<std::mutex> lock(state.running);
  if (state.aborted) return;
  const int number = ++state.operations;
  if (number == setting("WEBCCL_STANDIN_HANG_AT", -1)) return hang(state);
  if (number == setting("WEBCCL_STANDIN_ERROR_AT", -1)) {
    state.result = kNcclRemoteError;
    return hang(state);
  }
  Runner(state, operation).run();
}

void enqueue(const std::shared_ptr<State>& state, CuStream stream, Operation operation) {
  auto* work = new std::pair<std::shared_ptr<State>, Operation>(state, std::move(operation));
  cuLaunchHostFunc(stream, [](void* data) {
    std::unique_ptr<std::pair<std::shared_ptr<State>, Operation>> work(static_cast<std::pair<std::shared_ptr<State>, Operation>*>(data));
    runOne(*work->first, work->second);
  }, work);
}

// An open group of this thread.
struct Queued {
  std::shared_ptr<State> state;
  CuStream stream;
  Operation operation;
};
thread_local int depth = 0;
thread_local std::vector<Queued> queued;

bool isFloat8(NcclDataType dtype) { return dtype == kNcclFloat8e4m3 || dtype == kNcclFloat8e5m2; }

// As NCCL has it: from 2.24 on, and on devices of compute capability 9.0 or more.
bool knows(NcclDataType dtype) {
  int version = 0;
  ncclGetVersion(&version);
  return !isFloat8(dtype) || (version >= ncclVersionCode(2, 24, 0) && setting("WEBCCL_STANDIN_CAPABILITY", 90) >= 90);
}

NcclResult submit(NcclComm comm, CuStream stream, Operation operation) {
  if (!comm || !comm->state) return kNcclInvalidArgument;
  if (!knows(operation.dtype)) return kNcclInvalidArgument;
  State& state = *comm->state;
  if (++state.submitted == setting("WEBCCL_STANDIN_FAIL_AT", -1) && state.rank == 1) return kNcclInternalError;
  if (state.result == kNcclInProgress) return kNcclInvalidUsage;
  if (operation.op >= 5) {
    std::lock_guard<std::mutex> lock(state.mutex);
    const auto known = state.factors.find(operation.op);
    if (known == state.factors.end()) return kNcclInvalidArgument;
    operation.factor = known->second;
  }
  if (depth > 0) queued.push_back({comm->state, stream, std::move(operation)});
  else enqueue(comm->state, stream, std::move(operation));
  return kNcclSuccess;
}

void initialize(const std::shared_ptr<State>& state) {
  if (setting("WEBCCL_STANDIN_INIT_HANGS", 0) == 1) hang(*state);
  const bool whole = state->sockets.connect(state->name, state->size, state->rank, state->aborted);
  state->result = whole ? kNcclSuccess : kNcclSystemError;
}

NcclResult create(NcclComm* comm, int size, const std::string& name, int rank, bool blocking) {
  if (size < 1 || rank < 0 || rank >= size) return kNcclInvalidArgument;
  auto state = std::make_shared<State>();
  state->size = size;
  state->rank = rank;
  state->name = name;
  state->result = kNcclInProgress;
  *comm = new NcclCommOpaque{state};
  standInMade(1, 0);
  if (blocking) {
    initialize(state);
    return state->result;
  }
  std::thread([state] { initialize(state); }).detach();
  return kNcclInProgress;
}

std::string nameOf(const NcclUniqueId& id) {
  std::string name = "webccl-stand-in-";
  for (int i = 0; i < 16; i++) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(id.internal[i]));
    name += digits;
  }
  return name;
}

Operation reduction(Kind kind, const void* from, void* to, std::size_t count, NcclDataType dtype, NcclRedOp op, int root) {
  Operation operation{kind};
  operation.from = static_cast<const char*>(from);
  operation.to = static_cast<char*>(to);
  operation.count = count;
  operation.dtype = dtype;
  operation.op = op;
  operation.root = root;
  return operation;
}

}  // namespace

EXPORT NcclResult ncclGetVersion(int* version) {
  *version = setting("WEBCCL_STANDIN_NCCL_VERSION", ncclVersionCode(2, 27, 7));
  return kNcclSuccess;
}

// The words of -1, which is no code of NCCL's, are what was made and not given back so far, as JSON.
EXPORT const char* ncclGetErrorString(NcclResult result) {
  if (result == -1) return standInLeft();
  static const char* texts[] = {"no error",         "unhandled cuda error", "unhandled system error", "internal error",
                                "invalid argument", "invalid usage",        "remote process exited or there was a network error",
                                "NCCL operation in progress"};
  return result >= 0 && result <= kNcclInProgress ? texts[result] : "unknown result code";
}

EXPORT const char* ncclGetLastError(NcclComm) { return ""; }

EXPORT NcclResult ncclGetUniqueId(NcclUniqueId* id) {
  std::random_device random;
  for (char& byte : id->internal) byte = static_cast<char>(random());
  return kNcclSuccess;
}

EXPORT NcclResult ncclCommInitRank(NcclComm* comm, int size, NcclUniqueId id, int rank) {
  return create(comm, size, nameOf(id), rank, true);
}

EXPORT NcclResult ncclCommInitRankConfig(NcclComm* comm, int size, NcclUniqueId id, int rank, void* data) {
  NcclConfigV227 config;
  std::memset(&config, 0, sizeof config);
  std::memcpy(&config, data, sizeof config.size);
  std::memcpy(&config, data, std::min(config.size, sizeof config));
  if (config.magic != kNcclConfigMagic) return kNcclInvalidArgument;
  const bool has218 = config.size >= sizeof(NcclConfigV218);
  if (has218 && config.minCTAs != kNcclUndefined && config.maxCTAs != kNcclUndefined && config.minCTAs > config.maxCTAs) {
    return kNcclInvalidArgument;
  }
  return create(comm, size, nameOf(id), rank, config.blocking != 0);
}

EXPORT NcclResult ncclCommInitAll(NcclComm* comms, int count, const int*) {
  NcclUniqueId id;
  ncclGetUniqueId(&id);
  for (int rank = 0; rank < count; rank++) create(&comms[rank], count, nameOf(id), rank, false);
  for (int rank = 0; rank < count; rank++) {
    while (comms[rank]->state->result == kNcclInProgress) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (comms[rank]->state->result != kNcclSuccess) return comms[rank]->state->result;
  }
  return kNcclSuccess;
}

EXPORT NcclResult ncclCommSplit(NcclComm comm, int color, int key, NcclComm* made, void*) {
  // Colors and keys are told all around on the parent's sockets, as by an operation of its own.
  State& parent = *comm->state;
  std::lock_guard<std::mutex> lock(parent.running);
  std::vector<std::pair<int, int>> choices(static_cast<std::size_t>(parent.size));
  choices[static_cast<std::size_t>(parent.rank)] = {color, key};
  std::vector<Message> sends, receives;
  for (int peer = 0; peer < parent.size; peer++) {
    if (peer == parent.rank) continue;
    const auto at = [&](int rank) { return reinterpret_cast<char*>(&choices[static_cast<std::size_t>(rank)]); };
    sends.push_back({peer, at(parent.rank), sizeof choices[0]});
    receives.push_back({peer, at(peer), sizeof choices[0]});
  }
  if (parent.sockets.exchange(sends, receives, parent.aborted) != Outcome::kDone) return kNcclRemoteError;
  const int number = ++parent.splits;
  *made = nullptr;
  if (color < 0) return kNcclSuccess;
  int size = 0, rank = 0;
  for (int peer = 0; peer < parent.size; peer++) {
    const auto [otherColor, otherKey] = choices[static_cast<std::size_t>(peer)];
    if (otherColor != color) continue;
    size++;
    if (otherKey < key || (otherKey == key && peer < parent.rank)) rank++;
  }
  return create(made, size, parent.name + "." + std::to_string(number) + "." + std::to_string(color), rank, false);
}

EXPORT NcclResult ncclCommShrink(NcclComm, int*, int, NcclComm*, void*, int) { return kNcclInvalidUsage; }

EXPORT NcclResult ncclCommFinalize(NcclComm) { return kNcclSuccess; }

EXPORT NcclResult ncclCommDestroy(NcclComm comm) {
  delete comm;
  standInMade(-1, 0);
  return kNcclSuccess;
}

EXPORT NcclResult ncclCommAbort(NcclComm comm) {
  comm->state->aborted = true;
  delete comm;
  standInMade(-1, 0);
  return kNcclSuccess;
}

EXPORT NcclResult ncclCommCount(NcclComm comm, int* count) {
  *count = comm->state->size;
  return kNcclSuccess;
}

EXPORT NcclResult ncclCommUserRank(NcclComm comm, int* rank) {
  *rank = comm->state->rank;
  return kNcclSuccess;
}

EXPORT NcclResult ncclCommGetAsyncError(NcclComm comm, NcclResult* result) {
  *result = comm->state->result;
  return kNcclSuccess;
}

EXPORT NcclResult ncclRedOpCreatePreMulSum(NcclRedOp* op, void* factor, NcclDataType dtype, int residence, NcclComm comm) {
  if (residence != kNcclScalarHostImmediate) return kNcclInvalidUsage;
  State& state = *comm->state;
  std::lock_guard<std::mutex> lock(state.mutex);
  const auto* bytes = static_cast<const char*>(factor);
  *op = state.nextOp++;
  state.factors[*op] = std::vector<char>(bytes, bytes + standin::bytesPerElement(dtype));
  standInMade(0, 1);
  return kNcclSuccess;
}

EXPORT NcclResult ncclRedOpDestroy(NcclRedOp op, NcclComm comm) {
  State& state = *comm->state;
  std::lock_guard<std::mutex> lock(state.mutex);
  if (state.factors.erase(op) != 1) return kNcclInvalidArgument;
  standInMade(0, -1);
  return kNcclSuccess;
}

EXPORT NcclResult ncclAllReduce(const void* from, void* to, std::size_t count, NcclDataType dtype, NcclRedOp op, NcclComm comm,
                                CuStream stream) {
  return submit(comm, stream, reduction(Kind::kAllReduce, from, to, count, dtype, op, 0));
}

EXPORT NcclResult ncclReduce(const void* from, void* to, std::size_t count, NcclDataType dtype, NcclRedOp op, int root,
                             NcclComm comm, CuStream stream) {
  return submit(comm, stream, reduction(Kind::kReduce, from, to, count, dtype, op, root));
}

EXPORT NcclResult ncclBroadcast(const void* from, void* to, std::size_t count, NcclDataType dtype, int root, NcclComm comm,
                                CuStream stream) {
  return submit(comm, stream, reduction(Kind::kBroadcast, from, to, count, dtype, 0, root));
}

EXPORT NcclResult ncclAllGather(const void* from, void* to, std::size_t count, NcclDataType dtype, NcclComm comm, CuStream stream) {
  return submit(comm, stream, reduction(Kind::kAllGather, from, to, count, dtype, 0, 0));
}

#ifndef WITHOUT_REDUCE_SCATTER
EXPORT NcclResult ncclReduceScatter(const void* from, void* to, std::size_t count, NcclDataType dtype, NcclRedOp op,
                                    NcclComm comm, CuStream stream) {
  return submit(comm, stream, reduction(Kind::kReduceScatter, from, to, count, dtype, op, 0));
}
#endif

EXPORT NcclResult ncclSend(const void* from, std::size_t count, NcclDataType dtype, int peer, NcclComm comm, CuStream stream) {
  Operation operation{Kind::kMessages};
  operation.sends.push_back({peer, static_cast<char*>(const_cast<void*>(from)), count * standin::bytesPerElement(dtype)});
  return submit(comm, stream, std::move(operation));
}

EXPORT NcclResult ncclRecv(void* to, std::size_t count, NcclDataType dtype, int peer, NcclComm comm, CuStream stream) {
  Operation operation{Kind::kMessages};
  operation.receives.push_back({peer, static_cast<char*>(to), count * standin::bytesPerElement(dtype)});
  return submit(comm, stream, std::move(operation));
}

EXPORT NcclResult ncclGroupStart() {
  depth++;
  return kNcclSuccess;
}

// Sends and receives of a group that are of one communicator and one stream go at once.
EXPORT NcclResult ncclGroupEnd() {
  if (depth == 0) return kNcclInvalidUsage;
  if (--depth > 0) return kNcclSuccess;
  std::vector<Queued> work;
  for (Queued& one : queued) {
    Queued* fused = nullptr;
    for (Queued& earlier : work) {
      const bool messages = earlier.operation.kind == Kind::kMessages && one.operation.kind == Kind::kMessages;
      if (messages && earlier.state == one.state && earlier.stream == one.stream) fused = &earlier;
    }
    if (!fused) {
      work.push_back(std::move(one));
      continue;
    }
    auto& into = fused->operation;
    into.sends.insert(into.sends.end(), one.operation.sends.begin(), one.operation.sends.end());
    into.receives.insert(into.receives.end(), one.operation.receives.begin(), one.operation.receives.end());
  }
  queued.clear();
  for (Queued& one : work) enqueue(one.state, one.stream, std::move(one.operation));
  return kNcclSuccess;
}
