// The addon: the JavaScript view of the libraries, of communicators and of device memory. index.d.ts says what each call
// means; js-*.cc convert.
#include "js/communicator.h"
#include "js/library.h"
#include "js/memory.h"
#include "js/promise.h"
#include "js/stream.h"

namespace webccl {
namespace {

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
