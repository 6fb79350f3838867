// The arithmetic of the stand-in's reductions: webccl's own arithmetic (docs/arithmetic.md), not a GPU's.
#pragma once

#include <cstddef>

#include "../../src/core/abi.h"

namespace standin {

std::size_t bytesPerElement(webccl::NcclDataType dtype);

// target = target op operand; `op` is one of NCCL's five, of which AVG folds as SUM.
void fold(webccl::NcclDataType dtype, webccl::NcclRedOp op, void* target, const void* operand, std::size_t count);
// Each element times `factor`, which is one element of the dtype.
void scale(webccl::NcclDataType dtype, void* target, const void* factor, std::size_t count);
// AVG before the fold (floats: times 1/size) and after it (integers: divided by size).
void averageBefore(webccl::NcclDataType dtype, void* target, std::size_t count, int size);
void averageAfter(webccl::NcclDataType dtype, void* target, std::size_t count, int size);

}  // namespace standin
