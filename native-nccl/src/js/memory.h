// DeviceBuffer(bytes, device, lazy): memory of a device, as JavaScript sees it.
#pragma once

#include <napi.h>

#include "../core/lane.h"

namespace webccl {

class DeviceBuffer : public Napi::ObjectWrap<DeviceBuffer> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit DeviceBuffer(const Napi::CallbackInfo& info);

  // The part from `offset` that is `bytes` long.
  Place place(Napi::Env env, std::size_t offset, std::size_t bytes) const;

 private:
  Napi::Value copyFrom(const Napi::CallbackInfo& info);
  Napi::Value copyTo(const Napi::CallbackInfo& info);
  Napi::Value pointer(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<DeviceMemory> memory_;
};

}  // namespace webccl
