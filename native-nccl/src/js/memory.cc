#include "memory.h"

#include "arguments.h"
#include "promise.h"

namespace webccl {

Napi::Function DeviceBuffer::define(Napi::Env env) {
  return DefineClass(env, "NativeDeviceBuffer",
                     {InstanceMethod("copyFrom", &DeviceBuffer::copyFrom), InstanceMethod("copyTo", &DeviceBuffer::copyTo),
                      InstanceMethod("dispose", &DeviceBuffer::dispose), InstanceAccessor<&DeviceBuffer::pointer>("pointer")});
}

DeviceBuffer::DeviceBuffer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DeviceBuffer>(info) {
  const std::size_t bytes = sizeAt(info, 0, "byteLength");
  const int device = intAt(info, 1);
  const bool lazy = info[2].ToBoolean();
  memory_ = guarded(info.Env(), [&] { return DeviceMemory::allocate(device, bytes, lazy); });
}

Place DeviceBuffer::place(Napi::Env env, std::size_t offset, std::size_t bytes) const {
  if (!memory_) throw Napi::TypeError::New(env, "the DeviceBuffer was disposed");
  if (offset > memory_->bytes || bytes > memory_->bytes - offset) {
    throw Napi::RangeError::New(env, "bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) +
                                         " of a DeviceBuffer of " + std::to_string(memory_->bytes));
  }
  return {memory_, offset};
}

Napi::Value DeviceBuffer::copyFrom(const Napi::CallbackInfo& info) {
  const Bytes host = bytesAt(info, 0);
  const Place to = place(info.Env(), sizeAt(info, 1, "byteOffset"), host.length);
  return promise(info.Env(), [&](Settle settle) {
    const auto lane = Lane::forCopies(memory_->device);
    lane->copyIn(to, host.data, host.length);
    lane->flush([settle](const std::string& error) { settle(error, undefined); });
  });
}

Napi::Value DeviceBuffer::copyTo(const Napi::CallbackInfo& info) {
  const Bytes host = bytesAt(info, 0);
  const Place from = place(info.Env(), sizeAt(info, 1, "byteOffset"), host.length);
  return promise(info.Env(), [&](Settle settle) {
    const auto lane = Lane::forCopies(memory_->device);
    lane->copyOut(host.data, from, host.length);
    lane->flush([settle](const std::string& error) { settle(error, undefined); });
  });
}

Napi::Value DeviceBuffer::pointer(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), static_cast<std::uint64_t>(place(info.Env(), 0, 0).pointer()));
}

void DeviceBuffer::dispose(const Napi::CallbackInfo&) { memory_.reset(); }

}  // namespace webccl
