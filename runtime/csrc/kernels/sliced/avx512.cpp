// The bit-sliced family for AVX-512: full adders of two ternary-logic operations, 512 positions at
// a time; for 256 see kernels/sliced/avx512_half.cpp.
#include <string.h>

#include "core/border.h"
#include "core/target.h"
#include "kernels/sliced/sliced.h"

#if defined(__x86_64__)
#include "core/intrinsics.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // see kernels/popcount/avx512.cpp
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

BNN_TARGET_BEGIN("avx512f,avx512bw,avx512vbmi,gfni,prfchw,avx2,fma")

namespace bnn {
namespace {

typedef __m512i Vec;
constexpr bool kFewRegisters = false;

BNN_INLINE Vec zeros() { return _mm512_setzero_si512(); }
BNN_INLINE Vec all_or_none(int64_t bit) { return _mm512_set1_epi64(-(bit & 1)); }
BNN_INLINE Vec bit_and(Vec a, Vec b) { return _mm512_and_si512(a, b); }
BNN_INLINE Vec bit_xor(Vec a, Vec b) { return _mm512_xor_si512(a, b); }
BNN_INLINE Vec sum3(Vec a, Vec b, Vec c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
BNN_INLINE Vec majority(Vec a, Vec b, Vec c) { return _mm512_ternarylogic_epi64(a, b, c, 0xe8); }
BNN_INLINE Vec borrow(Vec a, Vec b, Vec c) { return _mm512_ternarylogic_epi32(a, b, c, 0xb2); }
BNN_INLINE Vec choose(Vec mask, Vec yes, Vec no) {
  return _mm512_ternarylogic_epi64(mask, yes, no, 0xca);
}
BNN_INLINE Vec or_and(Vec a, Vec b, Vec c) { return _mm512_ternarylogic_epi64(a, b, c, 0xf8); }
BNN_INLINE Vec load_words(const void* words) { return _mm512_loadu_si512(words); }
BNN_INLINE Vec shift_left(Vec x) { return _mm512_slli_epi64(x, 1); }
BNN_INLINE Vec shift_right(Vec x) { return _mm512_srli_epi64(x, 1); }
BNN_INLINE Vec move_words(Vec keep, uint32_t mask, Vec index, Vec x) {
  return _mm512_mask_permutexvar_epi16(keep, static_cast<__mmask32>(mask), index, x);
}
BNN_INLINE Vec broadcast32(int32_t x) { return _mm512_set1_epi32(x); }
BNN_INLINE void spread_bits(uint16_t bits, int32_t* to) {
  _mm512_store_si512(to, _mm512_maskz_set1_epi32(bits, -1));
}
BNN_INLINE Vec interleave8_low(Vec a, Vec b) { return _mm512_unpacklo_epi8(a, b); }
BNN_INLINE Vec interleave8_high(Vec a, Vec b) { return _mm512_unpackhi_epi8(a, b); }
BNN_INLINE Vec interleave16_low(Vec a, Vec b) { return _mm512_unpacklo_epi16(a, b); }
BNN_INLINE Vec interleave16_high(Vec a, Vec b) { return _mm512_unpackhi_epi16(a, b); }
BNN_INLINE Vec interleave32_low(Vec a, Vec b) { return _mm512_unpacklo_epi32(a, b); }
BNN_INLINE Vec interleave32_high(Vec a, Vec b) { return _mm512_unpackhi_epi32(a, b); }
BNN_INLINE Vec transpose_bytes(Vec x) {
  const Vec unit = _mm512_set1_epi64(static_cast<int64_t>(0x8040201008040201u));
  return _mm512_gf2p8affine_epi64_epi8(unit, x, 0);
}
// out[16 * q + 0 .. 3] = lane q of a, b, c, d.
BNN_INLINE void store_lanes(__m128i* out, Vec a, Vec b, Vec c, Vec d) {
  const Vec ab01 = _mm512_shuffle_i32x4(a, b, 0x44), ab23 = _mm512_shuffle_i32x4(a, b, 0xee);
  const Vec cd01 = _mm512_shuffle_i32x4(c, d, 0x44), cd23 = _mm512_shuffle_i32x4(c, d, 0xee);
  _mm512_store_si512(out, _mm512_shuffle_i32x4(ab01, cd01, 0x88));
  _mm512_store_si512(out + 16, _mm512_shuffle_i32x4(ab01, cd01, 0xdd));
  _mm512_store_si512(out + 32, _mm512_shuffle_i32x4(ab23, cd23, 0x88));
  _mm512_store_si512(out + 48, _mm512_shuffle_i32x4(ab23, cd23, 0xdd));
}

// Each builds on the one before.
#include "kernels/sliced/sums.inc"

#include "kernels/sliced/layer.inc"

#include "kernels/sliced/avx512.inc"

#include "kernels/sliced/pool.inc"

// ---- planes of floats
// ------------------------------------------------------------------------------------------------

constexpr int block_rows(int words) { return 16 / words; }

// A block of rows that lie one behind the other in a vector stays in registers for all layers.
template <int kWords>
BNN_INLINE void compare_block(const SlicedCompareJob& job, int64_t first, int64_t offset) {
  const SlicedShape& shape = job.shape;
  __m512 values[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const int64_t row = first + i / kWords * shape.vectors;
    const int64_t column = i % kWords * 16, left = row < shape.height ? shape.width - column : 0;
    const int lanes = left >= 16 ? 0xffff : left > 0 ? (1 << left) - 1 : 0;
    values[i] = _mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes),
                                      job.x + (left > 0 ? row * shape.width + column : 0));
  }
  for (int32_t layer = 0; layer < job.layer_count; ++layer) {
    const __m512 threshold = _mm512_set1_ps(job.thresholds[layer]);
    uint64_t* bits = reinterpret_cast<uint64_t*>(static_cast<char*>(job.planes[layer]) + offset);
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      uint64_t four = 0;
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k)
        four |= uint64_t{_mm512_cmp_ps_mask(values[i + k], threshold, _CMP_GE_OQ)} << 16 * k;
      bits[i / 4] = four;
    }
  }
}

#include "kernels/sliced/compare.inc"

}  // namespace

const SlicedKernels kAvx512Sliced = {compare_floats,
                                     &kAvx512SlicedHalf,
                                     {sizeof(Vec), spread_planes, count_outputs, pool_outputs},
                                     2,
                                     5,
                                     3600};

}  // namespace bnn

BNN_TARGET_END
#endif
