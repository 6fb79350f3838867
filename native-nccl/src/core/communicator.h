// One rank's communicator on a lane of its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lane.h"

namespace webccl {

// The fields of ncclConfig_t that may be set; absent is NCCL's default.
struct Config {
  std::optional<int> blocking, cgaClusterSize, minCtas, maxCtas, splitShare;
  std::string netName;
  bool highPriority = false;
};

enum class Kind { kAllReduce, kReduce, kBroadcast, kAllGather, kReduceScatter, kSend, kRecv };

// One call of NCCL's. `peer` is the root where there is one.
struct Collective {
  Kind kind;
  Place send, recv;
  std::size_t count = 0;
  NcclDataType dtype = 0;
  NcclRedOp op = kNcclSum;
  // Of PREMUL_SUM: this rank's factor, one element of the dtype. Then `op` is ignored.
  std::vector<char> factor;
  int peer = 0;
  std::shared_ptr<Stream> stream;
};

class Communicator : public Lane {
 public:
  // Starts the lane; `initRank` or `adopt` makes the communicator on it.
  static std::shared_ptr<Communicator> create(int device, const Config& config);

  void initRank(int size, const NcclUniqueId& id, int rank);
  void adopt(NcclComm comm);
  // `then` is called on this lane with the handle of the new communicator, or null for a color below 0.
  void split(int color, int key, std::function<void(NcclComm, int rank, int size)> then);
  void run(Collective collective);
  void groupStart();
  void groupEnd();
  void createPreMulSum(std::vector<char> factor, NcclDataType dtype, std::function<void(NcclRedOp)> then);
  void destroyRedOp(NcclRedOp op);
  // Ends the communicator once all that was asked for is done; other ranks need not be there.
  void dispose();
  // On the lane's thread: the reason why the communicator ended, or NCCL's own error, or an empty text.
  std::string error() { return failure().empty() ? asyncError() : failure(); }

  const Config config;

 protected:
  std::string asyncError() override;
  void onFailure() override;
  void onStop() override;
  void unblock() override;

 private:
  Communicator(int device, const Config& config) : Lane(device, config.highPriority), config(config) {}
  bool nonBlocking() const;
  void* configuration();
  void check(NcclResult result, const char* what);
  void settle(const char* what);
  void launch(const Collective& collective, CuStream stream, NcclRedOp op);
  void abortOnce();
  void finish();

  NcclComm comm_ = nullptr;
  std::atomic<bool> ended_{false};
  int groupDepth_ = 0;
  // Uses of memory in an open group, which the device sees only when the group is launched.
  std::vector<std::pair<std::shared_ptr<DeviceMemory>, CuStream>> groupUses_;
  std::vector<NcclRedOp> groupOps_;
  NcclConfigV218 config218_;
  NcclConfigV214 config214_;
};

}  // namespace webccl
