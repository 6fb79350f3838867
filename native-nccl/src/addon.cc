// The addon: what JavaScript sees of lanes, communicators and device memory. index.d.ts says what each call means; here
// are only conversions. Promises are settled on the event loop's thread, by a thread-safe function that keeps the loop
// alive exactly while promises are pending.
#include <napi.h>

#include <cstring>

#include "communicator.h"

namespace webccl {
namespace {

// ---- Promises

class Poster {
 public:
  using Work = std::function<void(Napi::Env)>;

  explicit Poster(Napi::Env env)
      : function_(Napi::ThreadSafeFunction::New(env, Napi::Function(), "webccl nccl", 0, 1, [](Napi::Env) {})) {
    function_.Unref(env);
  }

  // On the event loop's thread.
  void expect(Napi::Env env) {
    if (pending_++ == 0) function_.Ref(env);
  }

  // On any thread, once for each `expect`.
  void post(Work work) {
    auto* data = new Work(std::move(work));
    const napi_status status = function_.BlockingCall(data, [this](Napi::Env env, Napi::Function, Work* work) {
      if (env != nullptr) {
        Napi::HandleScope scope(env);
        (*work)(env);
        if (--pending_ == 0) function_.Unref(env);
      }
      delete work;
    });
    if (status != napi_ok) delete data;  // The event loop has ended, and its promises with it.
  }

 private:
  Napi::ThreadSafeFunction function_;
  int pending_ = 0;
};

struct Instance {
  // Lanes hold it beyond the end of the environment, when posting has no effect any more.
  std::shared_ptr<Poster> poster;
  Napi::FunctionReference deviceBuffer, stream, event, communicator;
};

using MakeValue = std::function<Napi::Value(Napi::Env)>;
// Settles a promise, from any thread: with an error's text, or with the value that is made.
using Settle = std::function<void(const std::string& error, MakeValue value)>;

Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

Napi::Promise promise(Napi::Env env, const std::function<void(Settle)>& begin) {
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  const Napi::Promise result = deferred->Promise();
  auto poster = env.GetInstanceData<Instance>()->poster;
  poster->expect(env);
  begin([deferred, poster](const std::string& error, MakeValue value) {
    poster->post([deferred, error, value = std::move(value)](Napi::Env env) {
      if (error.empty()) deferred->Resolve(value(env));
      else deferred->Reject(Napi::Error::New(env, error).Value());
    });
  });
  return result;
}

// Runs `work`, which makes the value, on a thread of its own.
Napi::Promise background(Napi::Env env, std::function<MakeValue()> work) {
  return promise(env, [&](Settle settle) {
    std::thread([work = std::move(work), settle = std::move(settle)] {
      try {
        settle("", work());
      } catch (const std::exception& error) {
        settle(error.what(), undefined);
      }
    }).detach();
  });
}

// Turns what the libraries throw into a JavaScript error.
template <typename Work>
auto guarded(Napi::Env env, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
}

// ---- Arguments

std::size_t sizeAt(const Napi::CallbackInfo& info, std::size_t index, const char* name) {
  const double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
  if (!(value >= 0) || value > 9007199254740991.0 || value != static_cast<double>(static_cast<std::int64_t>(value))) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + " must be a whole number of at least 0");
  }
  return static_cast<std::size_t>(value);
}

int intAt(const Napi::CallbackInfo& info, std::size_t index) { return info[index].As<Napi::Number>().Int32Value(); }

struct Bytes {
  char* data;
  std::size_t length;
};

Bytes bytesAt(const Napi::CallbackInfo& info, std::size_t index) {
  if (!info[index].IsTypedArray()) throw Napi::TypeError::New(info.Env(), "a typed array is needed");
  const auto array = info[index].As<Napi::TypedArray>();
  void* data = nullptr;
  std::size_t length = 0;
  napi_typedarray_type type;
  if (napi_get_typedarray_info(info.Env(), array, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    throw Napi::TypeError::New(info.Env(), "a typed array over an ArrayBuffer is needed");
  }
  return {static_cast<char*>(data), array.ByteLength()};
}

std::vector<char> copyAt(const Napi::CallbackInfo& info, std::size_t index) {
  const Bytes bytes = bytesAt(info, index);
  return {bytes.data, bytes.data + bytes.length};
}

template <typename Wrapped>
Wrapped* wrappedAt(const Napi::CallbackInfo& info, std::size_t index, const Napi::FunctionReference& type, const char* name) {
  if (!info[index].IsObject() || !info[index].As<Napi::Object>().InstanceOf(type.Value())) {
    throw Napi::TypeError::New(info.Env(), std::string("a ") + name + " is needed");
  }
  return Napi::ObjectWrap<Wrapped>::Unwrap(info[index].As<Napi::Object>());
}

// ---- DeviceBuffer(bytes, device)

class DeviceBuffer : public Napi::ObjectWrap<DeviceBuffer> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeDeviceBuffer",
                       {InstanceMethod("copyFrom", &DeviceBuffer::copyFrom), InstanceMethod("copyTo", &DeviceBuffer::copyTo),
                        InstanceMethod("dispose", &DeviceBuffer::dispose), InstanceAccessor<&DeviceBuffer::pointer>("pointer")});
  }

  explicit DeviceBuffer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DeviceBuffer>(info) {
    const std::size_t bytes = sizeAt(info, 0, "byteLength");
    const int device = intAt(info, 1);
    memory_ = guarded(info.Env(), [&] { return DeviceMemory::allocate(device, bytes); });
  }

  // The part from `offset` that is `bytes` long.
  Place place(Napi::Env env, std::size_t offset, std::size_t bytes) const {
    if (!memory_) throw Napi::TypeError::New(env, "the DeviceBuffer was disposed");
    if (offset > memory_->bytes || bytes > memory_->bytes - offset) {
      throw Napi::RangeError::New(env, "bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) +
                                           " of a DeviceBuffer of " + std::to_string(memory_->bytes));
    }
    return {memory_, offset};
  }

 private:
  Napi::Value copyFrom(const Napi::CallbackInfo& info) {
    const Bytes host = bytesAt(info, 0);
    const Place to = place(info.Env(), sizeAt(info, 1, "byteOffset"), host.length);
    return promise(info.Env(), [&](Settle settle) {
      const auto lane = Lane::forCopies(memory_->device);
      lane->copyIn(to, host.data, host.length);
      lane->flush([settle](const std::string& error) { settle(error, undefined); });
    });
  }

  Napi::Value copyTo(const Napi::CallbackInfo& info) {
    const Bytes host = bytesAt(info, 0);
    const Place from = place(info.Env(), sizeAt(info, 1, "byteOffset"), host.length);
    return promise(info.Env(), [&](Settle settle) {
      const auto lane = Lane::forCopies(memory_->device);
      lane->copyOut(host.data, from, host.length);
      lane->flush([settle](const std::string& error) { settle(error, undefined); });
    });
  }

  Napi::Value pointer(const Napi::CallbackInfo& info) {
    return Napi::BigInt::New(info.Env(), static_cast<std::uint64_t>(place(info.Env(), 0, 0).pointer()));
  }

  void dispose(const Napi::CallbackInfo&) { memory_.reset(); }

  std::shared_ptr<DeviceMemory> memory_;
};

// ---- Stream(device, highPriority), Event(device)

struct EventHandle {
  explicit EventHandle(int device) : device(device) {
    useDevice(device);
    checkCuda(cuda().createEvent(&handle, kCuEventDefault), "cuEventCreate");
  }
  ~EventHandle() { cuda().destroyEvent(handle); }
  const int device;
  CuEvent handle = nullptr;
};

class JsEvent : public Napi::ObjectWrap<JsEvent> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeEvent", {InstanceMethod("query", &JsEvent::query), InstanceMethod("elapsedMs", &JsEvent::elapsedMs)});
  }
  explicit JsEvent(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsEvent>(info) {
    event = guarded(info.Env(), [&] { return std::make_shared<EventHandle>(intAt(info, 0)); });
  }
  std::shared_ptr<EventHandle> event;

 private:
  Napi::Value query(const Napi::CallbackInfo& info) {
    const CuResult result = cuda().queryEvent(event->handle);
    if (result != kCuNotReady) guarded(info.Env(), [&] { checkCuda(result, "cuEventQuery"); });
    return Napi::Boolean::New(info.Env(), result == kCuSuccess);
  }
  Napi::Value elapsedMs(const Napi::CallbackInfo& info) {
    const auto& type = info.Env().GetInstanceData<Instance>()->event;
    float ms = 0;
    guarded(info.Env(), [&] {
      checkCuda(cuda().elapsed(&ms, event->handle, wrappedAt<JsEvent>(info, 0, type, "Event")->event->handle), "cuEventElapsedTime");
    });
    return Napi::Number::New(info.Env(), ms);
  }
};

class JsStream : public Napi::ObjectWrap<JsStream> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeStream",
                       {InstanceMethod("synchronize", &JsStream::synchronize), InstanceMethod("record", &JsStream::record),
                        InstanceMethod("wait", &JsStream::wait)});
  }
  explicit JsStream(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsStream>(info) {
    stream = guarded(info.Env(), [&] { return std::make_shared<Stream>(intAt(info, 0), info[1].ToBoolean()); });
  }
  std::shared_ptr<Stream> stream;

 private:
  JsEvent* eventAt(const Napi::CallbackInfo& info) {
    return wrappedAt<JsEvent>(info, 0, info.Env().GetInstanceData<Instance>()->event, "Event");
  }
  // Resolves when all work put on the stream so far is done.
  Napi::Value synchronize(const Napi::CallbackInfo& info) {
    return background(info.Env(), [stream = stream]() -> MakeValue {
      useDevice(stream->device);
      EventHandle event(stream->device);
      checkCuda(cuda().recordEvent(event.handle, stream->handle), "cuEventRecord");
      CuResult result;
      while ((result = cuda().queryEvent(event.handle)) == kCuNotReady) std::this_thread::sleep_for(std::chrono::microseconds(50));
      checkCuda(result, "the stream failed");
      return undefined;
    });
  }
  void record(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
      useDevice(stream->device);
      checkCuda(cuda().recordEvent(eventAt(info)->event->handle, stream->handle), "cuEventRecord");
    });
  }
  void wait(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
      useDevice(stream->device);
      checkCuda(cuda().waitEvent(stream->handle, eventAt(info)->event->handle, 0), "cuStreamWaitEvent");
    });
  }
};

// ---- Communicator, made by initRank, initAll and split

class JsCommunicator : public Napi::ObjectWrap<JsCommunicator> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeCommunicator",
        {InstanceMethod("copyIn", &JsCommunicator::copyIn), InstanceMethod("copyOut", &JsCommunicator::copyOut),
         InstanceMethod("copyWithin", &JsCommunicator::copyWithin), InstanceMethod("run", &JsCommunicator::run),
         InstanceMethod("groupStart", &JsCommunicator::groupStart), InstanceMethod("groupEnd", &JsCommunicator::groupEnd),
         InstanceMethod("flush", &JsCommunicator::flush), InstanceMethod("abort", &JsCommunicator::abort),
         InstanceMethod("asyncError", &JsCommunicator::asyncError), InstanceMethod("split", &JsCommunicator::split),
         InstanceMethod("createPreMulSum", &JsCommunicator::createPreMulSum),
         InstanceMethod("destroyRedOp", &JsCommunicator::destroyRedOp), InstanceMethod("dispose", &JsCommunicator::dispose)});
  }
  explicit JsCommunicator(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsCommunicator>(info) {}
  ~JsCommunicator() override {
    if (communicator) communicator->dispose();
  }
  static Napi::Value wrap(Napi::Env env, std::shared_ptr<Communicator> communicator) {
    const Napi::Object object = env.GetInstanceData<Instance>()->communicator.New({});
    Unwrap(object)->communicator = std::move(communicator);
    return object;
  }
  std::shared_ptr<Communicator> communicator;

 private:
  Communicator& own(Napi::Env env) {
    if (!communicator) throw Napi::TypeError::New(env, "the communicator was disposed");
    return *communicator;
  }
  Place placeAt(const Napi::CallbackInfo& info, std::size_t index, std::size_t bytes) {
    if (info[index].IsNull() || info[index].IsUndefined()) return {};
    const auto& type = info.Env().GetInstanceData<Instance>()->deviceBuffer;
    const auto* buffer = wrappedAt<DeviceBuffer>(info, index, type, "DeviceBuffer");
    return buffer->place(info.Env(), sizeAt(info, index + 1, "byteOffset"), bytes);
  }

  // (buffer, byteOffset, host)
  void copyIn(const Napi::CallbackInfo& info) {
    const Bytes host = bytesAt(info, 2);
    own(info.Env()).copyIn(placeAt(info, 0, host.length), host.data, host.length);
  }
  // (host, buffer, byteOffset)
  void copyOut(const Napi::CallbackInfo& info) {
    const Bytes host = bytesAt(info, 0);
    own(info.Env()).copyOut(host.data, placeAt(info, 1, host.length), host.length);
  }
  // (to, toOffset, from, fromOffset, bytes)
  void copyWithin(const Napi::CallbackInfo& info) {
    const std::size_t bytes = sizeAt(info, 4, "bytes");
    own(info.Env()).copyWithin(placeAt(info, 0, bytes), placeAt(info, 2, bytes), bytes);
  }
  // (kind, send, sendOffset, sendBytes, recv, recvOffset, recvBytes, count, dtype, op, peer, factor or null, stream or null)
  void run(const Napi::CallbackInfo& info) {
    Collective collective;
    collective.kind = static_cast<Kind>(intAt(info, 0));
    collective.send = placeAt(info, 1, sizeAt(info, 3, "bytes"));
    collective.recv = placeAt(info, 4, sizeAt(info, 6, "bytes"));
    collective.count = sizeAt(info, 7, "count");
    collective.dtype = intAt(info, 8);
    collective.op = intAt(info, 9);
    collective.peer = intAt(info, 10);
    if (!info[11].IsNull()) collective.factor = copyAt(info, 11);
    if (!info[12].IsNull()) {
      collective.stream = wrappedAt<JsStream>(info, 12, info.Env().GetInstanceData<Instance>()->stream, "Stream")->stream;
    }
    own(info.Env()).run(std::move(collective));
  }
  void groupStart(const Napi::CallbackInfo& info) { own(info.Env()).groupStart(); }
  void groupEnd(const Napi::CallbackInfo& info) { own(info.Env()).groupEnd(); }

  Napi::Value flush(const Napi::CallbackInfo& info) {
    Communicator& lane = own(info.Env());
    return promise(info.Env(), [&](Settle settle) {
      lane.flush([settle](const std::string& error) { settle(error, undefined); });
    });
  }
  void abort(const Napi::CallbackInfo& info) {
    if (communicator) communicator->abort(info[0].ToString());
  }
  // Resolves with the error that NCCL or an abort ended the communicator with, or null.
  Napi::Value asyncError(const Napi::CallbackInfo& info) {
    Communicator& lane = own(info.Env());
    return promise(info.Env(), [&](Settle settle) {
      lane.call([settle, &lane, keep = communicator] {
        settle("", [error = lane.error()](Napi::Env env) -> Napi::Value {
          if (error.empty()) return env.Null();
          return Napi::String::New(env, error);
        });
      });
    });
  }
  Napi::Value split(const Napi::CallbackInfo& info) {
    auto parent = communicator;
    own(info.Env());
    const int color = intAt(info, 0), key = intAt(info, 1);
    return promise(info.Env(), [&](Settle settle) {
      auto settled = std::make_shared<bool>(false);
      parent->split(color, key, [settle, settled, parent](NcclComm comm) {
        *settled = true;
        if (!comm) return settle("", [](Napi::Env env) { return env.Null(); });
        auto child = Communicator::create(parent->device, parent->config);
        child->adopt(comm);
        settle("", [child](Napi::Env env) { return wrap(env, child); });
      });
      parent->flush([settle, settled](const std::string& error) {
        if (!*settled) settle(error, undefined);
      });
    });
  }
  Napi::Value createPreMulSum(const Napi::CallbackInfo& info) {
    Communicator& lane = own(info.Env());
    return promise(info.Env(), [&](Settle settle) {
      auto op = std::make_shared<NcclRedOp>(0);
      lane.createPreMulSum(copyAt(info, 0), intAt(info, 1), [op](NcclRedOp made) { *op = made; });
      lane.flush([settle, op](const std::string& error) {
        settle(error, [op](Napi::Env env) { return Napi::Number::New(env, *op); });
      });
    });
  }
  void destroyRedOp(const Napi::CallbackInfo& info) { own(info.Env()).destroyRedOp(intAt(info, 0)); }

  // Resolves when the communicator has ended.
  Napi::Value dispose(const Napi::CallbackInfo& info) {
    auto ending = std::move(communicator);
    communicator.reset();
    return promise(info.Env(), [&](Settle settle) {
      if (!ending) return settle("", undefined);
      ending->whenStopped([settle] { settle("", undefined); });
      ending->dispose();
    });
  }
};

// ---- Functions

Napi::Value version(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), nccl().versionCode); });
}

Napi::Value libraryPath(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::String::New(info.Env(), nccl().path); });
}

Napi::Value errorString(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::String::New(info.Env(), nccl().errorString(intAt(info, 0))); });
}

Napi::Value getUniqueId(const Napi::CallbackInfo& info) {
  return background(info.Env(), []() -> MakeValue {
    NcclUniqueId id;
    const NcclResult result = nccl().uniqueId(&id);
    if (result != kNcclSuccess) throw CallError("ncclGetUniqueId: " + ncclErrorText(result, nullptr));
    return [id](Napi::Env env) {
      auto bytes = Napi::Uint8Array::New(env, sizeof id.internal);
      std::memcpy(bytes.Data(), id.internal, sizeof id.internal);
      return bytes;
    };
  });
}

struct DeviceFacts {
  std::string name, uuid, pciBusId;
  std::size_t memory = 0;
  int major = 0, minor = 0, multiprocessors = 0;
};

// Opens both libraries and resolves with what is there.
Napi::Value load(const Napi::CallbackInfo& info) {
  return background(info.Env(), []() -> MakeValue {
    const int version = nccl().versionCode;
    const Cuda& api = cuda();
    std::vector<DeviceFacts> devices(static_cast<std::size_t>(api.devices));
    for (int i = 0; i < api.devices; i++) {
      DeviceFacts& facts = devices[static_cast<std::size_t>(i)];
      CuDevice device;
      char text[256] = {};
      CuUuid uuid;
      checkCuda(api.device(&device, i), "cuDeviceGet");
      checkCuda(api.deviceName(text, sizeof text, device), "cuDeviceGetName");
      facts.name = text;
      checkCuda(api.devicePciBusId(text, sizeof text, device), "cuDeviceGetPCIBusId");
      facts.pciBusId = text;
      checkCuda(api.deviceUuid(&uuid, device), "cuDeviceGetUuid");
      for (unsigned char byte : uuid.bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", byte);
        facts.uuid += digits;
      }
      checkCuda(api.deviceMemory(&facts.memory, device), "cuDeviceTotalMem");
      checkCuda(api.deviceAttribute(&facts.major, kCuAttributeMajor, device), "cuDeviceGetAttribute");
      checkCuda(api.deviceAttribute(&facts.minor, kCuAttributeMinor, device), "cuDeviceGetAttribute");
      checkCuda(api.deviceAttribute(&facts.multiprocessors, kCuAttributeMultiprocessors, device), "cuDeviceGetAttribute");
    }
    return [version, driver = api.driver, path = nccl().path, devices](Napi::Env env) {
      const auto list = Napi::Array::New(env, devices.size());
      for (std::size_t i = 0; i < devices.size(); i++) {
        const auto facts = Napi::Object::New(env);
        facts.Set("name", devices[i].name);
        facts.Set("uuid", devices[i].uuid);
        facts.Set("pciBusId", devices[i].pciBusId);
        facts.Set("totalMemory", static_cast<double>(devices[i].memory));
        facts.Set("computeCapability", std::to_string(devices[i].major) + "." + std::to_string(devices[i].minor));
        facts.Set("multiprocessors", devices[i].multiprocessors);
        list.Set(static_cast<std::uint32_t>(i), facts);
      }
      const auto result = Napi::Object::New(env);
      result.Set("version", version);
      result.Set("driver", driver);
      result.Set("path", path);
      result.Set("devices", list);
      return result;
    };
  });
}

Config configOf(const Napi::Value& value) {
  Config config;
  if (!value.IsObject()) return config;
  const auto object = value.As<Napi::Object>();
  const auto number = [&](const char* name) -> std::optional<int> {
    const Napi::Value field = object.Get(name);
    if (field.IsBoolean()) return field.As<Napi::Boolean>().Value() ? 1 : 0;
    if (field.IsNumber()) return field.As<Napi::Number>().Int32Value();
    return std::nullopt;
  };
  config.blocking = number("blocking");
  config.cgaClusterSize = number("cgaClusterSize");
  config.minCtas = number("minCtas");
  config.maxCtas = number("maxCtas");
  config.splitShare = number("splitShare");
  config.highPriority = number("isHighPriorityStream").value_or(0) != 0;
  if (object.Get("netName").IsString()) config.netName = object.Get("netName").ToString();
  return config;
}

// (size, id, rank, device, config)
Napi::Value initRank(const Napi::CallbackInfo& info) {
  const std::vector<char> bytes = copyAt(info, 1);
  NcclUniqueId id;
  if (bytes.size() != sizeof id.internal) throw Napi::RangeError::New(info.Env(), "a unique id has 128 bytes");
  std::memcpy(id.internal, bytes.data(), sizeof id.internal);
  const int size = intAt(info, 0), rank = intAt(info, 2), device = intAt(info, 3);
  auto communicator = guarded(info.Env(), [&] { return Communicator::create(device, configOf(info[4])); });
  communicator->initRank(size, id, rank);
  const auto handle = JsCommunicator::wrap(info.Env(), communicator).As<Napi::Object>();
  const auto result = Napi::Object::New(info.Env());
  result.Set("communicator", handle);
  result.Set("ready", promise(info.Env(), [&](Settle settle) {
    communicator->flush([settle](const std::string& error) { settle(error, undefined); });
  }));
  return result;
}

// (devices)
Napi::Value initAll(const Napi::CallbackInfo& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<int> devices;
  for (std::uint32_t i = 0; i < list.Length(); i++) devices.push_back(list.Get(i).ToNumber().Int32Value());
  return background(info.Env(), [devices]() -> MakeValue {
    for (int device : devices) useDevice(device);
    std::vector<NcclComm> comms(devices.size());
    const NcclResult result = nccl().initAll(comms.data(), static_cast<int>(devices.size()), devices.data());
    if (result != kNcclSuccess) throw CallError("ncclCommInitAll: " + ncclErrorText(result, nullptr));
    std::vector<std::shared_ptr<Communicator>> communicators;
    Config blocking;
    blocking.blocking = 1;
    for (std::size_t i = 0; i < devices.size(); i++) {
      communicators.push_back(Communicator::create(devices[i], blocking));
      communicators.back()->adopt(comms[i]);
    }
    return [communicators](Napi::Env env) {
      const auto list = Napi::Array::New(env, communicators.size());
      for (std::uint32_t i = 0; i < communicators.size(); i++) list.Set(i, JsCommunicator::wrap(env, communicators[i]));
      return list;
    };
  });
}

// How much is alive, for tests.
Napi::Value alive(const Napi::CallbackInfo& info) {
  const auto result = Napi::Object::New(info.Env());
  result.Set("deviceMemories", static_cast<double>(counts().deviceMemories.load()));
  result.Set("deviceBytes", static_cast<double>(counts().deviceBytes.load()));
  result.Set("lanes", static_cast<double>(counts().lanes.load()));
  result.Set("streams", static_cast<double>(counts().streams.load()));
  return result;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* instance = new Instance;
  instance->poster = std::make_shared<Poster>(env);
  const auto define = [&](const char* name, Napi::FunctionReference& reference, const Napi::Function& type) {
    reference = Napi::Persistent(type);
    exports.Set(name, type);
  };
  define("DeviceBuffer", instance->deviceBuffer, DeviceBuffer::define(env));
  define("Stream", instance->stream, JsStream::define(env));
  define("Event", instance->event, JsEvent::define(env));
  define("Communicator", instance->communicator, JsCommunicator::define(env));
  env.SetInstanceData(instance);
  exports.Set("version", Napi::Function::New(env, version));
  exports.Set("libraryPath", Napi::Function::New(env, libraryPath));
  exports.Set("errorString", Napi::Function::New(env, errorString));
  exports.Set("getUniqueId", Napi::Function::New(env, getUniqueId));
  exports.Set("load", Napi::Function::New(env, load));
  exports.Set("initRank", Napi::Function::New(env, initRank));
  exports.Set("initAll", Napi::Function::New(env, initAll));
  exports.Set("alive", Napi::Function::New(env, alive));
  return exports;
}

}  // namespace

NODE_API_MODULE(webccl_nccl, init)

}  // namespace webccl
