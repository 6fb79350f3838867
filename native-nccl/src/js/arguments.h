// Arguments of calls from JavaScript; each function throws a JavaScript error for one that is not what it must be.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

namespace webccl {

inline std::size_t sizeAt(const Napi::CallbackInfo& info, std::size_t index, const char* name) {
  const double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
  if (!(value >= 0) || value > 9007199254740991.0 || value != static_cast<double>(static_cast<std::int64_t>(value))) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + " must be a whole number of at least 0");
  }
  return static_cast<std::size_t>(value);
}

inline int intAt(const Napi::CallbackInfo& info, std::size_t index) { return info[index].As<Napi::Number>().Int32Value(); }

struct Bytes {
  char* data;
  std::size_t length;
};

// The memory of a typed array, which must not move or go before it is used.
inline Bytes bytesAt(const Napi::CallbackInfo& info, std::size_t index) {
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

inline std::vector<char> copyAt(const Napi::CallbackInfo& info, std::size_t index) {
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

}  // namespace webccl
