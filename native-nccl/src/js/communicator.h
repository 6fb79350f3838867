// Communicator, as JavaScript sees it. It is made by initRank, initAll and split.
#pragma once

#include <napi.h>

#include "../core/communicator.h"

namespace webccl {

class JsCommunicator : public Napi::ObjectWrap<JsCommunicator> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value wrap(Napi::Env env, std::shared_ptr<Communicator> communicator);
  explicit JsCommunicator(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsCommunicator>(info) {}
  ~JsCommunicator() override;

 private:
  Communicator& own(Napi::Env env);
  Place placeAt(const Napi::CallbackInfo& info, std::size_t index, std::size_t bytes);

  // (buffer, byteOffset, host)
  void copyIn(const Napi::CallbackInfo& info);
  // (host, buffer, byteOffset)
  void copyOut(const Napi::CallbackInfo& info);
  // (to, toOffset, from, fromOffset, bytes)
  void copyWithin(const Napi::CallbackInfo& info);
  // (kind, send, sendOffset, sendBytes, recv, recvOffset, recvBytes, count, dtype, op, peer, factor or null, stream or null)
  void run(const Napi::CallbackInfo& info);
  void groupStart(const Napi::CallbackInfo& info);
  void groupEnd(const Napi::CallbackInfo& info);
  Napi::Value flush(const Napi::CallbackInfo& info);
  void abort(const Napi::CallbackInfo& info);
  // Resolves with the error that NCCL or an abort ended the communicator with, or null.
  Napi::Value asyncError(const Napi::CallbackInfo& info);
  // (color, key); a color below 0 is none
  Napi::Value split(const Napi::CallbackInfo& info);
  // (factor as bytes, dtype)
  Napi::Value createPreMulSum(const Napi::CallbackInfo& info);
  void destroyRedOp(const Napi::CallbackInfo& info);
  // Resolves when the communicator has ended.
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<Communicator> communicator_;
};

// (size, id, rank, device, config): the communicator at once, and `ready`, a promise of its being one.
Napi::Value initRank(const Napi::CallbackInfo& info);
// (devices)
Napi::Value initAll(const Napi::CallbackInfo& info);

}  // namespace webccl
