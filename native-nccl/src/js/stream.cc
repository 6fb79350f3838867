#include "stream.h"

#include <chrono>
#include <thread>

#include "arguments.h"
#include "promise.h"

namespace webccl {
namespace {

JsEvent* eventAt(const Napi::CallbackInfo& info) {
  return wrappedAt<JsEvent>(info, 0, info.Env().GetInstanceData<Instance>()->event, "Event");
}

}  // namespace

Napi::Function JsEvent::define(Napi::Env env) {
  return DefineClass(env, "NativeEvent", {InstanceMethod("query", &JsEvent::query), InstanceMethod("elapsedMs", &JsEvent::elapsedMs)});
}

JsEvent::JsEvent(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsEvent>(info) {
  event = guarded(info.Env(), [&] { return std::make_shared<EventHandle>(intAt(info, 0)); });
}

Napi::Value JsEvent::query(const Napi::CallbackInfo& info) {
  const CuResult result = cuda().queryEvent(event->handle);
  if (result != kCuNotReady) guarded(info.Env(), [&] { checkCuda(result, "cuEventQuery"); });
  return Napi::Boolean::New(info.Env(), result == kCuSuccess);
}

Napi::Value JsEvent::elapsedMs(const Napi::CallbackInfo& info) {
  const auto& type = info.Env().GetInstanceData<Instance>()->event;
  float ms = 0;
  guarded(info.Env(), [&] {
    checkCuda(cuda().elapsed(&ms, event->handle, wrappedAt<JsEvent>(info, 0, type, "Event")->event->handle), "cuEventElapsedTime");
  });
  return Napi::Number::New(info.Env(), ms);
}

Napi::Function JsStream::define(Napi::Env env) {
  return DefineClass(env, "NativeStream",
                     {InstanceMethod("synchronize", &JsStream::synchronize), InstanceMethod("record", &JsStream::record),
                      InstanceMethod("wait", &JsStream::wait)});
}

JsStream::JsStream(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsStream>(info) {
  stream = guarded(info.Env(), [&] { return std::make_shared<Stream>(intAt(info, 0), info[1].ToBoolean()); });
}

Napi::Value JsStream::synchronize(const Napi::CallbackInfo& info) {
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

void JsStream::record(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    useDevice(stream->device);
    checkCuda(cuda().recordEvent(eventAt(info)->event->handle, stream->handle), "cuEventRecord");
  });
}

void JsStream::wait(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    useDevice(stream->device);
    checkCuda(cuda().waitEvent(stream->handle, eventAt(info)->event->handle, 0), "cuStreamWaitEvent");
  });
}

}  // namespace webccl
