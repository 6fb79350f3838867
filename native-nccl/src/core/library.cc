#include "library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

namespace webccl {
namespace {

const char kInstallNccl[] =
    "Install NCCL 2.10 or later: Debian and Ubuntu have the package libnccl2, PyPI has nvidia-nccl-cu12 and nvidia-nccl-cu13 "
    "(put the folder of their libnccl.so.2 into LD_LIBRARY_PATH, or the file into WEBCCL_LIBNCCL).";
const char kInstallCuda[] =
    "It comes with NVIDIA's driver: install the driver, and in a container start it with the GPU (docker run --gpus all).";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Opens `file`, or the file that the environment variable `variable` names instead.
void* open(const char* file, const char* variable, const char* remedy) {
  const std::string chosen = environment(variable);
  if (void* handle = dlopen(chosen.empty() ? file : chosen.c_str(), RTLD_NOW | RTLD_GLOBAL)) return handle;
  const char* reason = dlerror();
  const std::string path = environment("LD_LIBRARY_PATH");
  std::string text = std::string(file) + " could not be opened: " + (reason ? reason : "no reason was given") + ". ";
  if (!chosen.empty()) {
    text += std::string(variable) + " names " + chosen + ". ";
  } else {
    text += "It was looked for in LD_LIBRARY_PATH (" + (path.empty() ? "not set" : path) +
            "), the loader's cache (ldconfig -p) and /usr/lib. ";
  }
  throw LoadError(text + remedy);
}

std::string pathOf(void* symbol) {
  Dl_info info;
  return dladdr(symbol, &info) && info.dli_fname ? info.dli_fname : "";
}

std::string versionText(int code) {
  // Before 2.9 a version was MAJOR * 1000 + MINOR * 100 + PATCH.
  const int major = code < 10000 ? code / 1000 : code / 10000;
  const int rest = code < 10000 ? code % 1000 : code % 10000;
  return std::to_string(major) + "." + std::to_string(rest / 100) + "." + std::to_string(rest % 100);
}

Nccl openNccl() {
  void* handle = open("libnccl.so.2", "WEBCCL_LIBNCCL", kInstallNccl);
  Nccl library;
  const auto find = [&](const char* symbol) { return dlsym(handle, symbol); };
  library.version = reinterpret_cast<decltype(library.version)>(find("ncclGetVersion"));
  library.errorString = reinterpret_cast<decltype(library.errorString)>(find("ncclGetErrorString"));
  library.lastError = reinterpret_cast<decltype(library.lastError)>(find("ncclGetLastError"));
  if (!library.version || !library.errorString) {
    throw LoadError("libnccl.so.2 has no ncclGetVersion: it is not NCCL. " + std::string(kInstallNccl));
  }
  library.path = pathOf(reinterpret_cast<void*>(library.version));
  if (library.version(&library.versionCode) != kNcclSuccess || library.versionCode < kOldestNccl) {
    throw LoadError("NCCL " + versionText(library.versionCode) + " (" + library.path + ") is too old. " + kInstallNccl);
  }
#define X(name, symbol, since, parameters)                                                                             \
  library.name = reinterpret_cast<decltype(library.name)>(find(symbol));                                               \
  if (!library.name && library.versionCode >= (since)) {                                                               \
    throw LoadError("NCCL " + versionText(library.versionCode) + " (" + library.path + ") has no " symbol              \
                    ", which that version must have: the library is damaged or not NCCL's own. " + kInstallNccl);      \
  }
  WEBCCL_NCCL_SYMBOLS(X)
#undef X
  return library;
}

Cuda openCuda() {
  void* handle = open("libcuda.so.1", "WEBCCL_LIBCUDA", kInstallCuda);
  Cuda library;
#define X(name, symbol, parameters)                                                                                    \
  library.name = reinterpret_cast<decltype(library.name)>(dlsym(handle, symbol));                                      \
  if (!library.name) throw LoadError(std::string("libcuda.so.1 has no ") + symbol + ". " + kInstallCuda);
  WEBCCL_CUDA_SYMBOLS(X)
#undef X
  library.path = pathOf(reinterpret_cast<void*>(library.init));
  const CuResult result = library.init(0);
  if (result != kCuSuccess) {
    const char* reason = nullptr;
    library.errorString(result, &reason);
    throw LoadError("the CUDA driver could not be started: " + std::string(reason ? reason : "unknown error") + " (" +
                    std::to_string(result) + ")" + (result == kCuNoDevice ? ": this machine has no CUDA device" : "") +
                    ". Run nvidia-smi to see whether driver and device are well.");
  }
  if (library.deviceCount(&library.devices) != kCuSuccess || library.devices == 0) {
    throw LoadError("the CUDA driver finds no device. CUDA_VISIBLE_DEVICES is " +
                    (environment("CUDA_VISIBLE_DEVICES").empty() ? "not set" : environment("CUDA_VISIBLE_DEVICES")) + ".");
  }
  library.driverVersion(&library.driver);
  return library;
}

// One library, opened once; a failed opening leaves nothing behind.
template <typename Library>
const Library& once(Library (*opener)()) {
  static auto* mutex = new std::mutex;
  static const Library* library = nullptr;
  std::lock_guard<std::mutex> lock(*mutex);
  if (!library) library = new Library(opener());
  return *library;
}

}  // namespace

const Nccl& nccl() { return once<Nccl>(openNccl); }
const Cuda& cuda() { return once<Cuda>(openCuda); }

void checkCuda(CuResult result, const char* what) {
  if (result == kCuSuccess) return;
  const char* reason = nullptr;
  cuda().errorString(result, &reason);
  throw CallError(std::string(what) + ": " + (reason ? reason : "unknown CUDA error") + " (" + std::to_string(result) + ")");
}

std::string ncclErrorText(NcclResult result, NcclComm comm) {
  std::string text = nccl().errorString(result);
  const char* last = nccl().lastError ? nccl().lastError(comm) : nullptr;
  if (last && *last) text += std::string(": ") + last;
  return text;
}

void useDevice(int device) {
  // Never freed: at the end of the process lanes may still be at work.
  static auto* mutex = new std::mutex;
  static auto* contexts = new std::map<int, CuContext>;
  const Cuda& driver = cuda();
  if (device < 0 || device >= driver.devices) {
    throw CallError("there is no CUDA device " + std::to_string(device) + ": this process sees " +
                    std::to_string(driver.devices));
  }
  CuContext context;
  {
    std::lock_guard<std::mutex> lock(*mutex);
    auto known = contexts->find(device);
    if (known == contexts->end()) {
      CuDevice handle;
      checkCuda(driver.device(&handle, device), "cuDeviceGet");
      checkCuda(driver.retainContext(&context, handle), "cuDevicePrimaryCtxRetain");
      known = contexts->emplace(device, context).first;
    }
    context = known->second;
  }
  checkCuda(driver.setContext(context), "cuCtxSetCurrent");
}

}  // namespace webccl
