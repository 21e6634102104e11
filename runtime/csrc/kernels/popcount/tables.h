// The tables of the implementations, each whole: popcount kernels and those of the other rooms.
#ifndef BNN_POPCOUNT_TABLES_H_
#define BNN_POPCOUNT_TABLES_H_

#include "core/kernels.h"

namespace bnn {

extern const Kernels kGenericKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels, kNeonDotKernels;
#endif

}  // namespace bnn
#endif  // BNN_POPCOUNT_TABLES_H_
