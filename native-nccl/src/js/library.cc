#include "library.h"

#include <cstdio>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "promise.h"
#include "../core/lane.h"

namespace webccl {

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

namespace {

struct DeviceFacts {
  std::string name, uuid, pciBusId;
  std::size_t memory = 0;
  int major = 0, minor = 0, multiprocessors = 0;
};

}  // namespace

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
    return [version, driver = api.driver, driverPath = api.path, path = nccl().path, devices](Napi::Env env) {
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
      result.Set("driverPath", driverPath);
      result.Set("path", path);
      result.Set("devices", list);
      return result;
    };
  });
}

Napi::Value alive(const Napi::CallbackInfo& info) {
  const auto result = Napi::Object::New(info.Env());
  result.Set("deviceMemories", static_cast<double>(counts().deviceMemories.load()));
  result.Set("deviceBytes", static_cast<double>(counts().deviceBytes.load()));
  result.Set("lanes", static_cast<double>(counts().lanes.load()));
  result.Set("streams", static_cast<double>(counts().streams.load()));
  return result;
}

}  // namespace webccl
