#include "lane.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>

namespace webccl {
namespace {

constexpr std::size_t kSlotBytes = 4 << 20;
// How long an abort waits for the lane to see it, before NCCL is told from another thread.
constexpr auto kUnblockAfter = std::chrono::milliseconds(500);
// While something runs the device is asked at once, a few times, then every so many microseconds.
constexpr int kEagerPolls = 40;
constexpr auto kPollInterval = std::chrono::microseconds(50);
// NCCL's own error is asked for once in so many polls.
constexpr int kAsyncErrorEvery = 64;

}  // namespace

Counts& counts() {
  static Counts* counts = new Counts;
  return *counts;
}

// ---- DeviceMemory

std::shared_ptr<DeviceMemory> DeviceMemory::allocate(int device, std::size_t bytes, bool lazy) {
  std::unique_ptr<DeviceMemory> memory(new DeviceMemory(device, bytes));
  if (!lazy) memory->allocateNow();
  return std::shared_ptr<DeviceMemory>(memory.release(), [](DeviceMemory* ended) {
    Lane::forFreeing(ended->device)->call([ended] { delete ended; });
  });
}

void DeviceMemory::allocateNow() {
  useDevice(device);
  const CuResult result = cuda().alloc(&pointer, std::max<std::size_t>(bytes, 1));
  checkCuda(result, ("allocating " + std::to_string(bytes) + " bytes on CUDA device " + std::to_string(device)).c_str());
  counts().deviceMemories++;
  counts().deviceBytes += static_cast<long>(bytes);
}

DeviceMemory::~DeviceMemory() {
  if (pointer == 0) return;
  for (CuEvent event : used_) {
    if (event) cuda().destroyEvent(event);
  }
  cuda().free(pointer);
  counts().deviceMemories--;
  counts().deviceBytes -= static_cast<long>(bytes);
}

void DeviceMemory::begin(CuStream stream, Channel channel) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (pointer == 0) allocateNow();
  for (int other = 0; other < kChannels; other++) {
    if (other != channel && used_[other]) checkCuda(cuda().waitEvent(stream, used_[other], 0), "cuStreamWaitEvent");
  }
}

void DeviceMemory::end(CuStream stream, Channel channel) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!used_[channel]) checkCuda(cuda().createEvent(&used_[channel], kCuEventDisableTiming), "cuEventCreate");
  checkCuda(cuda().recordEvent(used_[channel], stream), "cuEventRecord");
}

// ---- Stream

Stream::Stream(int device, bool highPriority) : device(device) {
  useDevice(device);
  int lowest = 0, highest = 0;
  if (highPriority) checkCuda(cuda().priorityRange(&lowest, &highest), "cuCtxGetStreamPriorityRange");
  checkCuda(cuda().createStream(&handle, kCuStreamNonBlocking, highPriority ? highest : 0), "cuStreamCreate");
  counts().streams++;
}

Stream::~Stream() {
  if (!handle) return;
  cuda().destroyStream(handle);
  counts().streams--;
}

// ---- Lane: called on any thread

std::shared_ptr<Lane> Lane::start(int device, bool highPriority) {
  std::shared_ptr<Lane> lane(new Lane(device, highPriority));
  lane->begin();
  return lane;
}

std::shared_ptr<Lane> Lane::forCopies(int device) { return shared(device, false); }
std::shared_ptr<Lane> Lane::forFreeing(int device) { return shared(device, true); }

std::shared_ptr<Lane> Lane::shared(int device, bool freeing) {
  static auto* mutex = new std::mutex;
  static auto* lanes = new std::map<std::pair<int, bool>, std::shared_ptr<Lane>>;
  std::lock_guard<std::mutex> lock(*mutex);
  std::shared_ptr<Lane>& lane = (*lanes)[{device, freeing}];
  if (!lane) lane = start(device);
  return lane;
}

void Lane::begin() {
  counts().lanes++;
  std::thread([self = shared_from_this()] { self->run(); }).detach();
}

void Lane::call(std::function<void()> work) {
  std::lock_guard<std::mutex> lock(mutex_);
  tasks_.push_back(std::move(work));
  changed_.notify_all();
}

void Lane::push(std::function<void()> work) {
  call([this, work = std::move(work)] {
    if (!failed_) work();
  });
}

void Lane::copyIn(Place to, const void* host, std::size_t bytes) {
  push([this, to, host, bytes] {
    to.memory->begin(streams_[kIn], kIn);
    for (std::size_t at = 0; at < bytes; at += kSlotBytes) {
      const std::size_t part = std::min(kSlotBytes, bytes - at);
      Slot& slot = slotIn();
      std::memcpy(slot.memory, static_cast<const char*>(host) + at, part);
      checkCuda(cuda().copyIn(to.pointer() + at, slot.memory, part, streams_[kIn]), "cuMemcpyHtoDAsync");
      checkCuda(cuda().recordEvent(slot.event, streams_[kIn]), "cuEventRecord");
    }
    to.memory->end(streams_[kIn], kIn);
    keep(to.memory);
  });
}

void Lane::copyOut(void* host, Place from, std::size_t bytes) {
  push([this, host, from, bytes] {
    from.memory->begin(streams_[kOut], kOut);
    for (std::size_t at = 0; at < bytes; at += kSlotBytes) {
      const std::size_t part = std::min(kSlotBytes, bytes - at);
      Slot& slot = slotOut();
      checkCuda(cuda().copyOut(slot.memory, from.pointer() + at, part, streams_[kOut]), "cuMemcpyDtoHAsync");
      checkCuda(cuda().recordEvent(slot.event, streams_[kOut]), "cuEventRecord");
      slot.target = static_cast<char*>(host) + at;
      slot.bytes = part;
      outIssued_++;
    }
    from.memory->end(streams_[kOut], kOut);
    keep(from.memory);
  });
}

void Lane::copyWithin(Place to, Place from, std::size_t bytes) {
  push([this, to, from, bytes] {
    to.memory->begin(streams_[kMain], kMain);
    from.memory->begin(streams_[kMain], kMain);
    if (bytes > 0) checkCuda(cuda().copyWithin(to.pointer(), from.pointer(), bytes, streams_[kMain]), "cuMemcpyDtoDAsync");
    to.memory->end(streams_[kMain], kMain);
    from.memory->end(streams_[kMain], kMain);
    keep(to.memory);
    keep(from.memory);
  });
}

void Lane::flush(Done done) {
  call([this, done = std::move(done)] {
    if (failed_) {
      done(failure_);
      return;
    }
    Flush flush;
    flush.done = done;
    flush.slotsOut = outIssued_;
    try {
      for (auto& [stream, owner] : otherStreams_) {
        flush.events.push_back(newEvent());
        checkCuda(cuda().recordEvent(flush.events.back(), stream), "cuEventRecord");
        flush.inUse.push_back(std::move(owner));
      }
      otherStreams_.clear();
      for (CuStream stream : streams_) {
        flush.events.push_back(newEvent());
        checkCuda(cuda().recordEvent(flush.events.back(), stream), "cuEventRecord");
      }
    } catch (...) {
      flushes_.push_back(std::move(flush));
      throw;
    }
    for (auto& object : inUse_) flush.inUse.push_back(std::move(object));
    inUse_.clear();
    flushes_.push_back(std::move(flush));
  });
}

void Lane::abort(const std::string& reason) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (failed_ || aborting_) return;
    abortReason_ = reason;
    aborting_ = true;
    changed_.notify_all();
  }
  std::thread([self = shared_from_this()] {
    std::unique_lock<std::mutex> lock(self->mutex_);
    const bool seen = self->changed_.wait_for(lock, kUnblockAfter, [&] { return self->unblocked_; });
    lock.unlock();
    // The lane hangs in a call of NCCL's, which an abort from here ends.
    if (!seen) self->unblock();
  }).detach();
}

void Lane::stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

void Lane::whenStopped(std::function<void()> then) {
  std::lock_guard<std::mutex> lock(mutex_);
  whenStopped_ = std::move(then);
}

// ---- Lane: on its own thread

void Lane::run() {
  try {
    open();
  } catch (const std::exception& error) {
    fail(error.what());
  }
  for (int idle = 0;;) {
    std::function<void()> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const auto ready = [&] { return !tasks_.empty() || stopping_ || (aborting_ && !failed_); };
      if (flushes_.empty()) {
        changed_.wait(lock, ready);
      } else if (idle > kEagerPolls) {
        changed_.wait_for(lock, kPollInterval, ready);
      }
      if (!tasks_.empty()) {
        task = std::move(tasks_.front());
        tasks_.pop_front();
      } else if (stopping_ && flushes_.empty()) {
        break;
      }
    }
    idle = task ? 0 : idle + 1;
    if (aborting_ && !failed_) fail(abortReason_);
    try {
      if (task) task();
      poll();
    } catch (const std::exception& error) {
      fail(error.what());
    }
  }
  onStop();
  close();
  counts().lanes--;
  if (whenStopped_) whenStopped_();
}

void Lane::open() {
  useDevice(device);
  int lowest = 0, highest = 0;
  if (highPriority_) checkCuda(cuda().priorityRange(&lowest, &highest), "cuCtxGetStreamPriorityRange");
  for (CuStream& stream : streams_) {
    checkCuda(cuda().createStream(&stream, kCuStreamNonBlocking, highPriority_ ? highest : 0), "cuStreamCreate");
  }
}

void Lane::close() {
  for (Slot* slots : {in_, out_}) {
    for (int i = 0; i < kSlots; i++) {
      if (slots[i].event) cuda().destroyEvent(slots[i].event);
      if (slots[i].memory) cuda().freeHost(slots[i].memory);
    }
  }
  for (CuEvent event : spareEvents_) cuda().destroyEvent(event);
  for (CuStream stream : streams_) {
    if (stream) cuda().destroyStream(stream);
  }
}

void Lane::fail(const std::string& reason) {
  if (failed_) return;
  failure_ = reason;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    failed_ = true;
    unblocked_ = true;
    changed_.notify_all();
  }
  // Nothing reaches host memory any more.
  outDrained_ = outIssued_;
  onFailure();
  for (Flush& flush : flushes_) {
    for (CuEvent event : flush.events) spareEvents_.push_back(event);
    flush.done(failure_);
  }
  flushes_.clear();
  inUse_.clear();
  otherStreams_.clear();
}

void Lane::poll() {
  drain();
  while (!flushes_.empty()) {
    Flush& flush = flushes_.front();
    while (!flush.events.empty()) {
      const CuResult result = cuda().queryEvent(flush.events.back());
      if (result == kCuNotReady) break;
      checkCuda(result, "a CUDA operation failed");
      spareEvents_.push_back(flush.events.back());
      flush.events.pop_back();
    }
    if (!flush.events.empty() || outDrained_ < flush.slotsOut) break;
    const Flush ended = std::move(flush);
    flushes_.pop_front();
    ended.done("");
  }
  if (failed_ || ++polls_ % kAsyncErrorEvery != 0) return;
  const std::string error = asyncError();
  if (!error.empty()) throw CallError(error);
}

// Copies the results that have come out to host memory.
void Lane::drain() {
  while (outDrained_ < outIssued_) {
    Slot& slot = out_[outDrained_ % kSlots];
    const CuResult result = cuda().queryEvent(slot.event);
    if (result == kCuNotReady) return;
    checkCuda(result, "copying from the device failed");
    std::memcpy(slot.target, slot.memory, slot.bytes);
    outDrained_++;
  }
}

void Lane::waitUntil(const std::function<bool()>& ready) {
  for (int idle = 0; !ready(); idle++) {
    if (aborting_) throw CallError(abortReason_);
    poll();
    if (idle > kEagerPolls) std::this_thread::sleep_for(kPollInterval);
    else std::this_thread::yield();
  }
}

void Lane::alsoFlush(CuStream stream, std::shared_ptr<void> owner) {
  for (auto& [known, _] : otherStreams_) {
    if (known == stream) return;
  }
  otherStreams_.emplace_back(stream, std::move(owner));
}

Lane::Slot& Lane::slotIn() {
  Slot& slot = in_[inIssued_++ % kSlots];
  if (slot.memory) waitUntil([&] { return cuda().queryEvent(slot.event) != kCuNotReady; });
  else prepare(slot);
  return slot;
}

Lane::Slot& Lane::slotOut() {
  Slot& slot = out_[outIssued_ % kSlots];
  if (slot.memory) waitUntil([&] { return drain(), outIssued_ - outDrained_ < kSlots; });
  else prepare(slot);
  return slot;
}

void Lane::prepare(Slot& slot) {
  checkCuda(cuda().allocHost(&slot.memory, kSlotBytes, kCuMemHostAllocPortable), "allocating pinned memory");
  checkCuda(cuda().createEvent(&slot.event, kCuEventDisableTiming), "cuEventCreate");
}

CuEvent Lane::newEvent() {
  if (spareEvents_.empty()) {
    CuEvent event;
    checkCuda(cuda().createEvent(&event, kCuEventDisableTiming), "cuEventCreate");
    return event;
  }
  CuEvent event = spareEvents_.back();
  spareEvents_.pop_back();
  return event;
}

}  // namespace webccl
