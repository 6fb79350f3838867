#include "communicator.h"

#include <cstring>

#include "arguments.h"
#include "memory.h"
#include "promise.h"
#include "stream.h"

namespace webccl {

Napi::Function JsCommunicator::define(Napi::Env env) {
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

JsCommunicator::~JsCommunicator() {
  if (communicator_) communicator_->dispose();
}

Napi::Value JsCommunicator::wrap(Napi::Env env, std::shared_ptr<Communicator> communicator) {
  const Napi::Object object = env.GetInstanceData<Instance>()->communicator.New({});
  Unwrap(object)->communicator_ = std::move(communicator);
  return object;
}

Communicator& JsCommunicator::own(Napi::Env env) {
  if (!communicator_) throw Napi::TypeError::New(env, "the communicator was disposed");
  return *communicator_;
}

Place JsCommunicator::placeAt(const Napi::CallbackInfo& info, std::size_t index, std::size_t bytes) {
  if (info[index].IsNull() || info[index].IsUndefined()) return {};
  const auto& type = info.Env().GetInstanceData<Instance>()->deviceBuffer;
  const auto* buffer = wrappedAt<DeviceBuffer>(info, index, type, "DeviceBuffer");
  return buffer->place(info.Env(), sizeAt(info, index + 1, "byteOffset"), bytes);
}

void JsCommunicator::copyIn(const Napi::CallbackInfo& info) {
  const Bytes host = bytesAt(info, 2);
  own(info.Env()).copyIn(placeAt(info, 0, host.length), host.data, host.length);
}

void JsCommunicator::copyOut(const Napi::CallbackInfo& info) {
  const Bytes host = bytesAt(info, 0);
  own(info.Env()).copyOut(host.data, placeAt(info, 1, host.length), host.length);
}

void JsCommunicator::copyWithin(const Napi::CallbackInfo& info) {
  const std::size_t bytes = sizeAt(info, 4, "bytes");
  own(info.Env()).copyWithin(placeAt(info, 0, bytes), placeAt(info, 2, bytes), bytes);
}

void JsCommunicator::run(const Napi::CallbackInfo& info) {
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

void JsCommunicator::groupStart(const Napi::CallbackInfo& info) { own(info.Env()).groupStart(); }

void JsCommunicator::groupEnd(const Napi::CallbackInfo& info) { own(info.Env()).groupEnd(); }

Napi::Value JsCommunicator::flush(const Napi::CallbackInfo& info) {
  Communicator& lane = own(info.Env());
  return promise(info.Env(), [&](Settle settle) {
    lane.flush([settle](const std::string& error) { settle(error, undefined); });
  });
}

void JsCommunicator::abort(const Napi::CallbackInfo& info) {
  if (communicator_) communicator_->abort(info[0].ToString());
}

Napi::Value JsCommunicator::asyncError(const Napi::CallbackInfo& info) {
  Communicator& lane = own(info.Env());
  return promise(info.Env(), [&](Settle settle) {
    lane.call([settle, &lane, keep = communicator_] {
      settle("", [error = lane.error()](Napi::Env env) -> Napi::Value {
        if (error.empty()) return env.Null();
        return Napi::String::New(env, error);
      });
    });
  });
}

Napi::Value JsCommunicator::split(const Napi::CallbackInfo& info) {
  auto parent = communicator_;
  own(info.Env());
  const int color = intAt(info, 0), key = intAt(info, 1);
  return promise(info.Env(), [&](Settle settle) {
    auto settled = std::make_shared<bool>(false);
    parent->split(color, key, [settle, settled, parent](NcclComm comm, int rank, int size) {
      *settled = true;
      if (!comm) return settle("", [](Napi::Env env) { return env.Null(); });
      auto child = Communicator::create(parent->device, parent->config);
      child->adopt(comm);
      settle("", [child, rank, size](Napi::Env env) {
        const auto result = Napi::Object::New(env);
        result.Set("communicator", wrap(env, child));
        result.Set("rank", rank);
        result.Set("size", size);
        return result;
      });
    });
    parent->flush([settle, settled](const std::string& error) {
      if (!*settled) settle(error, undefined);
    });
  });
}

Napi::Value JsCommunicator::createPreMulSum(const Napi::CallbackInfo& info) {
  Communicator& lane = own(info.Env());
  return promise(info.Env(), [&](Settle settle) {
    auto op = std::make_shared<NcclRedOp>(0);
    lane.createPreMulSum(copyAt(info, 0), intAt(info, 1), [op](NcclRedOp made) { *op = made; });
    lane.flush([settle, op](const std::string& error) {
      settle(error, [op](Napi::Env env) { return Napi::Number::New(env, *op); });
    });
  });
}

void JsCommunicator::destroyRedOp(const Napi::CallbackInfo& info) { own(info.Env()).destroyRedOp(intAt(info, 0)); }

Napi::Value JsCommunicator::dispose(const Napi::CallbackInfo& info) {
  auto ending = std::move(communicator_);
  communicator_.reset();
  return promise(info.Env(), [&](Settle settle) {
    if (!ending) return settle("", undefined);
    ending->whenStopped([settle] { settle("", undefined); });
    ending->dispose();
  });
}

namespace {

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

}  // namespace

Napi::Value initRank(const Napi::CallbackInfo& info) {
  const std::vector<char> bytes = copyAt(info, 1);
  NcclUniqueId id;
  if (bytes.size() != sizeof id.internal) throw Napi::RangeError::New(info.Env(), "invalid unique_id (expected 128 bytes, got " + std::to_string(bytes.size()) + " bytes)");
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

}  // namespace webccl
