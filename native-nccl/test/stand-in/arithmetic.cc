#include "arithmetic.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

using namespace webccl;

namespace standin {
namespace {

template <typename To, typename From>
To bitsOf(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

float canonical(float value) { return value != value ? bitsOf<float>(std::uint32_t{0x7fc00000}) : value; }
double canonical(double value) { return value != value ? bitsOf<double>(std::uint64_t{0x7ff8000000000000}) : value; }

// The formats of 16 bits: stored as bits, computed in float.
struct Half {
  std::uint16_t bits;
  operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
    const std::uint32_t exponent = (bits >> 10) & 31, mantissa = bits & 1023;
    if (exponent == 31) return bitsOf<float>(sign | 0x7f800000 | (mantissa << 13));
    const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                          : std::ldexp(static_cast<float>(mantissa | 1024), static_cast<int>(exponent) - 25);
    return bitsOf<float>(sign | bitsOf<std::uint32_t>(magnitude));
  }
  static Half of(float value) {
    if (value != value) return {0x7e00};
    const std::uint16_t sign = static_cast<std::uint16_t>((bitsOf<std::uint32_t>(value) >> 16) & 0x8000);
    const float magnitude = std::fabs(value);
    if (magnitude >= 65520.0f) return {static_cast<std::uint16_t>(sign | 0x7c00)};
    int exponent = 0;
    std::frexp(magnitude, &exponent);
    if (exponent < -13) exponent = -13;
    // In units of the last place, where the current rounding mode is to nearest even.
    const auto units = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, 11 - exponent)));
    const std::uint32_t field = magnitude == 0 ? 0 : static_cast<std::uint32_t>(exponent + 13) * 1024 + units;
    return {static_cast<std::uint16_t>(sign | field)};
  }
};

struct Bfloat {
  std::uint16_t bits;
  operator float() const { return bitsOf<float>(static_cast<std::uint32_t>(bits) << 16); }
  static Bfloat of(float value) {
    if (value != value) return {0x7fc0};
    const std::uint32_t wide = bitsOf<std::uint32_t>(value);
    return {static_cast<std::uint16_t>((wide + 0x7fff + ((wide >> 16) & 1)) >> 16)};
  }
};

// The formats of 8 bits: f8e4m3 saturates at 448 (0x7e) and has one NaN and no infinity, f8e5m2 has 0x7c for it.
template <int kFraction, int kBias, std::uint8_t kLargest, bool kInfinite>
struct Float8 {
  std::uint8_t bits;
  operator float() const {
    const int magnitude = bits & 0x7f, exponent = magnitude >> kFraction, fraction = magnitude & ((1 << kFraction) - 1);
    if (magnitude > kLargest) return bitsOf<float>(std::uint32_t{0x7fc00000});
    const float value = kInfinite && magnitude == kLargest ? HUGE_VALF
                        : exponent == 0 ? std::ldexp(static_cast<float>(fraction), 1 - kBias - kFraction)
                                        : std::ldexp(static_cast<float>(fraction + (1 << kFraction)), exponent - kBias - kFraction);
    return bits & 0x80 ? -value : value;
  }
  static Float8 of(float value) {
    if (value != value) return {0x7f};
    const std::uint8_t sign = std::signbit(value) ? 0x80 : 0;
    int exponent = 0;
    const float magnitude = std::fabs(value);
    std::frexp(magnitude, &exponent);
    exponent = magnitude == 0 ? 1 - kBias : std::max(exponent - 1, 1 - kBias);
    if (std::isinf(magnitude) || exponent > kBias + 1) return {static_cast<std::uint8_t>(sign | kLargest)};
    // In units of the last place, as above.
    const int units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, kFraction - exponent)));
    const int field = (exponent + kBias - 1) * (1 << kFraction) + units;
    return {static_cast<std::uint8_t>(sign | std::min(field, int{kLargest}))};
  }
};
using E4m3 = Float8<3, 7, 0x7e, false>;
using E5m2 = Float8<2, 15, 0x7c, true>;

template <typename T>
constexpr bool isSmall = std::is_same_v<T, Half> || std::is_same_v<T, Bfloat> || std::is_same_v<T, E4m3> ||
                       std::is_same_v<T, E5m2>;

template <typename T>
T store(float value) {
  if constexpr (isSmall<T>) return T::of(value);
  else return static_cast<T>(canonical(value));
}

template <typename F>
F least(F a, F b) {
  if (a != a || b != b) return canonical(a + b);
  return a < b || (a == b && std::signbit(a)) ? a : b;
}

template <typename F>
F most(F a, F b) {
  if (a != a || b != b) return canonical(a + b);
  return a > b || (a == b && !std::signbit(a)) ? a : b;
}

template <typename T>
T step(NcclRedOp op, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::uint64_t;
    switch (op) {
      case kNcclProd: return static_cast<T>(static_cast<U>(a) * static_cast<U>(b));
      case kNcclMin: return a < b ? a : b;
      case kNcclMax: return a > b ? a : b;
      default: return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
    }
  } else if constexpr (std::is_same_v<T, double>) {
    switch (op) {
      case kNcclProd: return canonical(a * b);
      case kNcclMin: return least(a, b);
      case kNcclMax: return most(a, b);
      default: return canonical(a + b);
    }
  } else {
    const float x = a, y = b;
    switch (op) {
      case kNcclProd: return store<T>(x * y);
      case kNcclMin: return store<T>(least(x, y));
      case kNcclMax: return store<T>(most(x, y));
      default: return store<T>(x + y);
    }
  }
}

template <typename Work>
void withType(NcclDataType dtype, Work work) {
  switch (dtype) {
    case kNcclInt8: return work(std::int8_t{});
    case kNcclUint8: return work(std::uint8_t{});
    case kNcclInt32: return work(std::int32_t{});
    case kNcclUint32: return work(std::uint32_t{});
    case kNcclInt64: return work(std::int64_t{});
    case kNcclUint64: return work(std::uint64_t{});
    case kNcclFloat16: return work(Half{});
    case kNcclFloat32: return work(float{});
    case kNcclFloat64: return work(double{});
    case kNcclFloat8e4m3: return work(E4m3{});
    case kNcclFloat8e5m2: return work(E5m2{});
    default: return work(Bfloat{});
  }
}

template <typename T>
T times(T a, T b) {
  return step<T>(kNcclProd, a, b);
}

}  // namespace

std::size_t bytesPerElement(NcclDataType dtype) {
  std::size_t bytes = 0;
  withType(dtype, [&](auto zero) { bytes = sizeof zero; });
  return bytes;
}

void fold(NcclDataType dtype, NcclRedOp op, void* target, const void* operand, std::size_t count) {
  withType(dtype, [&](auto zero) {
    using T = decltype(zero);
    auto* left = static_cast<T*>(target);
    const auto* right = static_cast<const T*>(operand);
    if (op == kNcclSum || op == kNcclAvg) {
      for (std::size_t i = 0; i < count; i++) left[i] = step<T>(kNcclSum, left[i], right[i]);
    } else {
      for (std::size_t i = 0; i < count; i++) left[i] = step<T>(op, left[i], right[i]);
    }
  });
}

void scale(NcclDataType dtype, void* target, const void* factor, std::size_t count) {
  withType(dtype, [&](auto zero) {
    using T = decltype(zero);
    T by;
    std::memcpy(&by, factor, sizeof by);
    auto* elements = static_cast<T*>(target);
    for (std::size_t i = 0; i < count; i++) elements[i] = times<T>(elements[i], by);
  });
}

void averageBefore(NcclDataType dtype, void* target, std::size_t count, int size) {
  withType(dtype, [&](auto zero) {
    using T = decltype(zero);
    auto* elements = static_cast<T*>(target);
    if constexpr (std::is_same_v<T, double>) {
      for (std::size_t i = 0; i < count; i++) elements[i] = canonical(elements[i] * (1.0 / size));
    } else if constexpr (!std::is_integral_v<T>) {
      const float share = static_cast<float>(1.0 / size);
      for (std::size_t i = 0; i < count; i++) elements[i] = store<T>(static_cast<float>(elements[i]) * share);
    }
  });
}

void averageAfter(NcclDataType dtype, void* target, std::size_t count, int size) {
  withType(dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>) {
      using Wide = std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>;
      auto* elements = static_cast<T*>(target);
      for (std::size_t i = 0; i < count; i++) elements[i] = static_cast<T>(static_cast<Wide>(elements[i]) / static_cast<Wide>(size));
    }
  });
}

}  // namespace standin
