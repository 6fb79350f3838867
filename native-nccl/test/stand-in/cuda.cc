// A stand-in for libcuda.so.1, for tests on machines without a GPU. "Device memory" is host memory; a stream is a thread
// that does in order what is put on it, so copies and collectives are as asynchronous as on a device. It proves nothing
// about a GPU.
//
//   WEBCCL_STANDIN_DEVICES=n      how many devices there are; 8 by default
//   WEBCCL_STANDIN_CAPABILITY=n   ten times their compute capability; 90 by default
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "../../src/core/abi.h"

using namespace webccl;

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr CuResult kInvalidValue = 1, kInvalidDevice = 101, kInvalidContext = 201, kIllegalAddress = 700;

// A position in a stream's order that was reached, or not yet.
struct Marker {
  std::mutex mutex;
  std::condition_variable changed;
  bool reached = false;
  void reach() {
    std::lock_guard<std::mutex> lock(mutex);
    reached = true;
    changed.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return reached; });
  }
  bool isReached() {
    std::lock_guard<std::mutex> lock(mutex);
    return reached;
  }
};

// The beginning of struct sched_attr (linux/sched/types.h), which cannot be included together with sched.h.
struct SchedulerAttributes {
  std::uint32_t size = sizeof(SchedulerAttributes);
  std::uint32_t policy = 0;  // SCHED_OTHER
  std::uint64_t flags = 0;
  std::int32_t nice = 19;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 100'000;  // nanoseconds at a time, then whoever waits; before Linux 6.12 the kernel decides
  std::uint64_t deadline = 0, period = 0;
};
static_assert(sizeof(SchedulerAttributes) == 48);

class StreamThread {
 public:
  StreamThread() : thread_([this] { run(); }) {}
  ~StreamThread() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  void put(std::function<void()> work) {
    std::lock_guard<std::mutex> lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_all();
  }
  void drain() {
    auto marker = std::make_shared<Marker>();
    put([marker] { marker->reach(); });
    marker->wait();
  }

 private:
  void run() {
    // A device takes no time of the processor's: what stands for it goes behind everything else.
    SchedulerAttributes behind;
    syscall(SYS_sched_setattr, 0, &behind, 0);
    for (;;) {
      std::function<void()> work;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return ending_ || !work_.empty(); });
        if (work_.empty()) return;
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool ending_ = false;
  std::thread thread_;
};

// The device: its allocations and its streams.
struct Device {
  std::mutex mutex;
  std::map<CuDevicePtr, std::size_t> allocations;
  // Shared with whoever waits for one that is being destroyed.
  std::map<StreamThread*, std::shared_ptr<StreamThread>> streams;
};
Device& device() {
  static Device* device = new Device;
  return *device;
}

// What is made and to be given back, by kind.
struct Left {
  std::atomic<long> memories{0}, pinned{0}, streams{0}, events{0};
  std::atomic<long> communicators{0}, operations{0};  // of the other library
};
Left left;

thread_local CuContext current = nullptr;

int deviceCount() {
  const char* text = std::getenv("WEBCCL_STANDIN_DEVICES");
  return text ? std::atoi(text) : 8;
}

// Are these bytes within one allocation?
bool isAllocated(CuDevicePtr pointer, std::size_t bytes) {
  std::lock_guard<std::mutex> lock(device().mutex);
  auto next = device().allocations.upper_bound(pointer);
  if (next == device().allocations.begin()) return false;
  const auto& [start, size] = *std::prev(next);
  return pointer + bytes <= start + size;
}

void* at(CuDevicePtr pointer) { return reinterpret_cast<void*>(pointer); }
StreamThread* threadOf(CuStream stream) { return reinterpret_cast<StreamThread*>(stream); }

void drainAll() {
  std::map<StreamThread*, std::shared_ptr<StreamThread>> streams;
  {
    std::lock_guard<std::mutex> lock(device().mutex);
    streams = device().streams;
  }
  for (auto& [_, stream] : streams) stream->drain();
}

struct Event {
  std::mutex mutex;
  std::shared_ptr<Marker> last;
};
Event* eventOf(CuEvent event) { return reinterpret_cast<Event*>(event); }

std::shared_ptr<Marker> lastOf(CuEvent event) {
  std::lock_guard<std::mutex> lock(eventOf(event)->mutex);
  return eventOf(event)->last;
}

}  // namespace

// For the stand-in of NCCL: so many communicators and operations more.
EXPORT void standInMade(int communicators, int operations) {
  left.communicators += communicators;
  left.operations += operations;
}

// What was made and not given back so far, as JSON.
EXPORT const char* standInLeft() {
  static thread_local char text[200];
  std::snprintf(text, sizeof text,
                R"({"memories":%ld,"pinned":%ld,"streams":%ld,"events":%ld,"communicators":%ld,"operations":%ld})",
                left.memories.load(), left.pinned.load(), left.streams.load(), left.events.load(),
                left.communicators.load(), left.operations.load());
  return text;
}

EXPORT CuResult cuInit(unsigned) { return deviceCount() > 0 ? kCuSuccess : kCuNoDevice; }

EXPORT CuResult cuDriverGetVersion(int* version) {
  *version = 12040;
  return kCuSuccess;
}

EXPORT CuResult cuGetErrorString(CuResult result, const char** text) {
  *text = result == kCuSuccess         ? "no error"
          : result == kCuOutOfMemory   ? "out of memory"
          : result == kCuNoDevice      ? "no CUDA-capable device is detected"
          : result == kIllegalAddress  ? "an illegal memory access was encountered"
          : result == kInvalidContext  ? "invalid device context"
                                       : "invalid argument";
  return kCuSuccess;
}

EXPORT CuResult cuDeviceGetCount(int* count) {
  *count = deviceCount();
  return kCuSuccess;
}

EXPORT CuResult cuDeviceGet(CuDevice* handle, int ordinal) {
  if (ordinal < 0 || ordinal >= deviceCount()) return kInvalidDevice;
  *handle = ordinal;
  return kCuSuccess;
}

EXPORT CuResult cuDeviceGetName(char* name, int length, CuDevice ordinal) {
  std::snprintf(name, static_cast<std::size_t>(length), "webccl stand-in %d", ordinal);
  return kCuSuccess;
}

EXPORT CuResult cuDeviceTotalMem_v2(std::size_t* bytes, CuDevice) {
  *bytes = std::size_t{4} << 30;
  return kCuSuccess;
}

EXPORT CuResult cuDeviceGetAttribute(int* value, int attribute, CuDevice) {
  const char* text = std::getenv("WEBCCL_STANDIN_CAPABILITY");
  const int capability = text ? std::atoi(text) : 90;
  *value = attribute == kCuAttributeMajor ? capability / 10 : attribute == kCuAttributeMinor ? capability % 10 : 1;
  return kCuSuccess;
}

EXPORT CuResult cuDeviceGetUuid(CuUuid* uuid, CuDevice ordinal) {
  std::memset(uuid->bytes, 0, sizeof uuid->bytes);
  std::memcpy(uuid->bytes, "stand-in", 8);
  uuid->bytes[15] = static_cast<char>(ordinal);
  return kCuSuccess;
}

EXPORT CuResult cuDeviceGetPCIBusId(char* id, int length, CuDevice ordinal) {
  std::snprintf(id, static_cast<std::size_t>(length), "0000:%02x:00.0", ordinal);
  return kCuSuccess;
}

EXPORT CuResult cuDevicePrimaryCtxRetain(CuContext* context, CuDevice ordinal) {
  *context = reinterpret_cast<CuContext>(static_cast<std::uintptr_t>(ordinal) + 1);
  return kCuSuccess;
}

EXPORT CuResult cuCtxSetCurrent(CuContext context) {
  current = context;
  return kCuSuccess;
}

EXPORT CuResult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return current ? kCuSuccess : kInvalidContext;
}

EXPORT CuResult cuMemAlloc_v2(CuDevicePtr* pointer, std::size_t bytes) {
  if (!current) return kInvalidContext;
  if (bytes == 0) return kInvalidValue;
  void* memory = bytes > std::size_t{4} << 30 ? nullptr : std::malloc(bytes);
  if (!memory) return kCuOutOfMemory;
  *pointer = reinterpret_cast<CuDevicePtr>(memory);
  std::lock_guard<std::mutex> lock(device().mutex);
  device().allocations.emplace(*pointer, bytes);
  left.memories++;
  return kCuSuccess;
}

EXPORT CuResult cuMemFree_v2(CuDevicePtr pointer) {
  drainAll();
  {
    std::lock_guard<std::mutex> lock(device().mutex);
    if (device().allocations.erase(pointer) == 0) return kInvalidValue;
  }
  std::free(at(pointer));
  left.memories--;
  return kCuSuccess;
}

EXPORT CuResult cuMemHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  if (!current) return kInvalidContext;
  *pointer = std::malloc(bytes);
  left.pinned++;
  return *pointer ? kCuSuccess : kCuOutOfMemory;
}

EXPORT CuResult cuMemFreeHost(void* pointer) {
  drainAll();
  std::free(pointer);
  left.pinned--;
  return kCuSuccess;
}

EXPORT CuResult cuMemcpyHtoDAsync_v2(CuDevicePtr to, const void* from, std::size_t bytes, CuStream stream) {
  if (!isAllocated(to, bytes)) return kIllegalAddress;
  threadOf(stream)->put([=] { std::memcpy(at(to), from, bytes); });
  return kCuSuccess;
}

EXPORT CuResult cuMemcpyDtoHAsync_v2(void* to, CuDevicePtr from, std::size_t bytes, CuStream stream) {
  if (!isAllocated(from, bytes)) return kIllegalAddress;
  threadOf(stream)->put([=] { std::memcpy(to, at(from), bytes); });
  return kCuSuccess;
}

EXPORT CuResult cuMemcpyDtoDAsync_v2(CuDevicePtr to, CuDevicePtr from, std::size_t bytes, CuStream stream) {
  if (!isAllocated(to, bytes) || !isAllocated(from, bytes)) return kIllegalAddress;
  threadOf(stream)->put([=] { std::memmove(at(to), at(from), bytes); });
  return kCuSuccess;
}

EXPORT CuResult cuStreamCreateWithPriority(CuStream* stream, unsigned, int) {
  if (!current) return kInvalidContext;
  auto made = std::make_shared<StreamThread>();
  *stream = reinterpret_cast<CuStream>(made.get());
  std::lock_guard<std::mutex> lock(device().mutex);
  device().streams.emplace(made.get(), made);
  left.streams++;
  return kCuSuccess;
}

EXPORT CuResult cuStreamDestroy_v2(CuStream stream) {
  std::shared_ptr<StreamThread> last;
  {
    std::lock_guard<std::mutex> lock(device().mutex);
    const auto known = device().streams.find(threadOf(stream));
    if (known == device().streams.end()) return kInvalidValue;
    last = std::move(known->second);
    device().streams.erase(known);
    left.streams--;
  }
  // Ends once all that was put on it is done, and waits for that, which the real driver does not.
  return kCuSuccess;
}

EXPORT CuResult cuStreamWaitEvent(CuStream stream, CuEvent event, unsigned) {
  if (auto marker = lastOf(event)) threadOf(stream)->put([marker] { marker->wait(); });
  return kCuSuccess;
}

EXPORT CuResult cuEventCreate(CuEvent* event, unsigned) {
  if (!current) return kInvalidContext;
  *event = reinterpret_cast<CuEvent>(new Event);
  left.events++;
  return kCuSuccess;
}

EXPORT CuResult cuEventDestroy_v2(CuEvent event) {
  delete eventOf(event);
  left.events--;
  return kCuSuccess;
}

EXPORT CuResult cuEventRecord(CuEvent event, CuStream stream) {
  auto marker = std::make_shared<Marker>();
  {
    std::lock_guard<std::mutex> lock(eventOf(event)->mutex);
    eventOf(event)->last = marker;
  }
  threadOf(stream)->put([marker] { marker->reach(); });
  return kCuSuccess;
}

EXPORT CuResult cuEventQuery(CuEvent event) {
  auto marker = lastOf(event);
  return !marker || marker->isReached() ? kCuSuccess : kCuNotReady;
}

EXPORT CuResult cuEventElapsedTime(float* ms, CuEvent, CuEvent) {
  *ms = 0;
  return kCuSuccess;
}

EXPORT CuResult cuLaunchHostFunc(CuStream stream, void (*work)(void*), void* data) {
  threadOf(stream)->put([=] { work(data); });
  return kCuSuccess;
}
