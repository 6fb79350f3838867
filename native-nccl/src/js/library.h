// The functions for the libraries themselves.
#pragma once

#include <napi.h>

namespace webccl {

Napi::Value version(const Napi::CallbackInfo& info);
Napi::Value libraryPath(const Napi::CallbackInfo& info);
// (code)
Napi::Value errorString(const Napi::CallbackInfo& info);
Napi::Value getUniqueId(const Napi::CallbackInfo& info);
// Opens both libraries and resolves with their paths, versions and devices.
Napi::Value load(const Napi::CallbackInfo& info);
// How much is alive, for tests.
Napi::Value alive(const Napi::CallbackInfo& info);

}  // namespace webccl
