// The two libraries, opened at first use.
#pragma once

#include <stdexcept>
#include <string>

#include "abi.h"

namespace webccl {

// A library is absent, too old or incomplete. The message names it, the paths where it was looked for and the package to install.
struct LoadError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A call of NCCL's or the driver's that failed.
struct CallError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Nccl {
#define X(name, symbol, since, parameters) NcclResult(*name) parameters = nullptr;
  WEBCCL_NCCL_SYMBOLS(X)
#undef X
  const char* (*errorString)(NcclResult) = nullptr;
  const char* (*lastError)(NcclComm) = nullptr;  // 2.13
  int versionCode = 0;
  std::string path;  // where it was found
};

struct Cuda {
#define X(name, symbol, parameters) CuResult(*name) parameters = nullptr;
  WEBCCL_CUDA_SYMBOLS(X)
#undef X
  int devices = 0;
  int driver = 0;    // 12040 is CUDA 12.4
  std::string path;  // where it was found
};

// Open the library at the first call and throw LoadError if it cannot be used; a failure is tried again at the next call.
// Both may be called on any thread. cuda() initializes the driver, which can take a second.
const Nccl& nccl();
const Cuda& cuda();

// Throw CallError unless the call succeeded.
void checkCuda(CuResult result, const char* what);
std::string ncclErrorText(NcclResult result, NcclComm comm);

// The primary context of a device, retained once and kept for the life of the process; made current for this thread.
void useDevice(int device);

}  // namespace webccl
