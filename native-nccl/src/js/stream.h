// Stream(device, highPriority) and Event(device), as JavaScript sees them.
#pragma once

#include <napi.h>

#include "../core/lane.h"

namespace webccl {

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
  static Napi::Function define(Napi::Env env);
  explicit JsEvent(const Napi::CallbackInfo& info);
  std::shared_ptr<EventHandle> event;

 private:
  Napi::Value query(const Napi::CallbackInfo& info);
  Napi::Value elapsedMs(const Napi::CallbackInfo& info);
};

class JsStream : public Napi::ObjectWrap<JsStream> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit JsStream(const Napi::CallbackInfo& info);
  std::shared_ptr<Stream> stream;

 private:
  // Resolves when all work put on the stream so far is done.
  Napi::Value synchronize(const Napi::CallbackInfo& info);
  void record(const Napi::CallbackInfo& info);
  void wait(const Napi::CallbackInfo& info);
};

}  // namespace webccl
