#include "promise.h"

#include <thread>

namespace webccl {

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

}  // namespace webccl
