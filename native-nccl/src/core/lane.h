// A lane: one thread with a CUDA context and three streams (copies in, work, copies out), which does in order what it is
// given and tells when the device is done with it. Whatever may block (the driver, NCCL, a peer) blocks a lane, never the
// thread of the event loop.
//
// Host memory passes through pinned slots of 4 MiB, a few in each direction: while a slot travels the lane fills the next.
// The last use of a device memory on each of the three streams is kept as an event; another stream that uses
// the memory waits for it. So work on different memory overlaps by itself, and work on the same is ordered.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "library.h"

namespace webccl {

enum Channel { kIn = 0, kMain = 1, kOut = 2, kChannels = 3 };

// Memory of a device. Freed on a lane for that alone, since freeing waits for the whole device.
class DeviceMemory {
 public:
  // At once, or by the first lane that uses it: the driver may take its time.
  static std::shared_ptr<DeviceMemory> allocate(int device, std::size_t bytes, bool lazy = false);
  ~DeviceMemory();

  // Comes before any use. Makes `stream`, which stands for `channel`, wait for the use of this memory by other channels.
  void begin(CuStream stream, Channel channel);
  // Remembers the work on `stream` so far as the last use by `channel`.
  void end(CuStream stream, Channel channel);

  const int device;
  const std::size_t bytes;
  CuDevicePtr pointer = 0;

 private:
  DeviceMemory(int device, std::size_t bytes) : device(device), bytes(bytes) {}
  void allocateNow();
  std::mutex mutex_;
  CuEvent used_[kChannels] = {};
};

// A part of a device memory.
struct Place {
  std::shared_ptr<DeviceMemory> memory;
  std::size_t offset = 0;
  CuDevicePtr pointer() const { return memory->pointer + offset; }
};

// A stream of the caller's own.
class Stream {
 public:
  Stream(int device, bool highPriority);
  ~Stream();
  const int device;
  CuStream handle = nullptr;
};

class Lane : public std::enable_shared_from_this<Lane> {
 public:
  // Called on the lane's thread, with an empty text or the error.
  using Done = std::function<void(const std::string& error)>;

  static std::shared_ptr<Lane> start(int device, bool highPriority = false);
  // The lanes of a device that belong to no communicator: one for copies of DeviceBuffers, and one that frees memory.
  static std::shared_ptr<Lane> forCopies(int device);
  static std::shared_ptr<Lane> forFreeing(int device);
  virtual ~Lane() = default;

  // All of these may be called on any thread and return at once. Host memory must stay as it is until a later flush is done.
  void copyIn(Place to, const void* host, std::size_t bytes);
  void copyOut(void* host, Place from, std::size_t bytes);
  void copyWithin(Place to, Place from, std::size_t bytes);
  // Tells when all that was asked for so far is done by the device, and copied into host memory.
  void flush(Done done);
  // Runs `work` on the lane even after a failure.
  void call(std::function<void()> work);
  // Ends everything with an error.
  void abort(const std::string& reason);
  // Ends the thread once all that was asked for is done.
  void stop();
  // Calls `then`, once, at the thread's end.
  void whenStopped(std::function<void()> then);

  const int device;

 protected:
  Lane(int device, bool highPriority) : device(device), highPriority_(highPriority) {}
  void begin();
  // Queues `work`, which is skipped after a failure.
  void push(std::function<void()> work);

  // On the lane's thread:
  CuStream stream(Channel channel) const { return streams_[channel]; }
  // Waits until `ready`, and completes work meanwhile; throws when the lane is aborted meanwhile.
  void waitUntil(const std::function<bool()>& ready);
  void keep(std::shared_ptr<void> object) { inUse_.push_back(std::move(object)); }
  void alsoFlush(CuStream stream, std::shared_ptr<void> owner);
  bool aborting() const { return aborting_.load(); }
  const std::string& failure() const { return failure_; }

  // The part of a communicator. `asyncError` is asked now and then while something runs.
  virtual std::string asyncError() { return ""; }
  virtual void onFailure() {}
  virtual void onStop() {}
  virtual void unblock() {}

 private:
  struct Slot {
    void* memory = nullptr;
    CuEvent event = nullptr;
    void* target = nullptr;  // of a slot on its way out
    std::size_t bytes = 0;
  };
  struct Flush {
    std::vector<CuEvent> events;
    std::uint64_t slotsOut = 0;
    std::vector<std::shared_ptr<void>> inUse;
    Done done;
  };

  static std::shared_ptr<Lane> shared(int device, bool freeing);
  void run();
  void open();
  void close();
  void fail(const std::string& reason);
  void poll();
  void drain();
  Slot& slotIn();
  Slot& slotOut();
  void prepare(Slot& slot);
  CuEvent newEvent();

  const bool highPriority_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::function<void()> whenStopped_;
  bool failed_ = false;
  bool unblocked_ = false;
  std::atomic<bool> aborting_{false};
  std::string abortReason_;

  // Of the lane's thread alone:
  CuStream streams_[kChannels] = {};
  std::string failure_;
  std::vector<CuEvent> spareEvents_;
  std::deque<Flush> flushes_;
  std::vector<std::shared_ptr<void>> inUse_;
  std::vector<std::pair<CuStream, std::shared_ptr<void>>> otherStreams_;
  static constexpr int kSlots = 3;
  Slot in_[kSlots];
  Slot out_[kSlots];
  std::uint64_t inIssued_ = 0;
  std::uint64_t outIssued_ = 0;
  std::uint64_t outDrained_ = 0;
  std::uint64_t polls_ = 0;
};

// Counts of live objects, for tests of leaks.
struct Counts {
  std::atomic<long> deviceMemories{0}, deviceBytes{0}, lanes{0}, streams{0};
};
Counts& counts();

}  // namespace webccl
