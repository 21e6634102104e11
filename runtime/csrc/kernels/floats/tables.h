// The tables of float and 8-bit kernels, one of each for every implementation.
#ifndef BNN_FLOATS_TABLES_H_
#define BNN_FLOATS_TABLES_H_

#include "core/kernels.h"

namespace bnn {

extern const FloatKernels kGenericFloats;
extern const Int8Kernels kGenericInt8;
#if defined(__x86_64__)
extern const FloatKernels kAvx2Floats, kAvx512Floats;
extern const Int8Kernels kAvx2Int8, kAvx512Int8;
#elif defined(__aarch64__)
extern const FloatKernels kNeonFloats;
extern const Int8Kernels kNeonInt8, kNeonDotInt8;
#endif

}  // namespace bnn
#endif  // BNN_FLOATS_TABLES_H_
