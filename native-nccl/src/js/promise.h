// Promises that other threads settle. That happens on the event loop's thread, by a thread-safe function which keeps the
// loop alive exactly while promises are pending.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>

namespace webccl {

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

// The state of the addon for one environment: the main thread, or a worker.
struct Instance {
  // Lanes hold it beyond the end of the environment, when posting has no effect any more.
  std::shared_ptr<Poster> poster;
  Napi::FunctionReference deviceBuffer, stream, event, communicator;
};

using MakeValue = std::function<Napi::Value(Napi::Env)>;
// Settles a promise, from any thread: with an error's text, or with the value that is made.
using Settle = std::function<void(const std::string& error, MakeValue value)>;

inline Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

// A promise that the callback given to `begin` settles, once.
Napi::Promise promise(Napi::Env env, const std::function<void(Settle)>& begin);

// Runs `work`, which makes the value, on a thread of its own.
Napi::Promise background(Napi::Env env, std::function<MakeValue()> work);

// Turns exceptions of the libraries into a JavaScript error.
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

}  // namespace webccl
