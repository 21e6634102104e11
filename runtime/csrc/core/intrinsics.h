// The x86 intrinsics: the compiler's own, or an emulation that runs on every CPU with AVX2.
//
// Files with AVX-512 code include this instead of <immintrin.h>, so that a test can run them where
// the CPU lacks AVX-512.
#ifndef BNN_INTRINSICS_H_
#define BNN_INTRINSICS_H_

#if defined(BNN_EMULATE_AVX512)
#include "core/emulated_avx512.h"
#else
#include <immintrin.h>
#endif

#endif  // BNN_INTRINSICS_H_
