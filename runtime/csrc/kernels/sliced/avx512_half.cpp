// The bit-sliced family for AVX-512 on maps that fit 256 positions: those of 512 would be half
// empty.
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

BNN_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vbmi,gfni,prfchw,avx2,fma")

namespace bnn {
namespace {

typedef __m256i Vec;
constexpr bool kFewRegisters = false;

BNN_INLINE Vec zeros() { return _mm256_setzero_si256(); }
BNN_INLINE Vec all_or_none(int64_t bit) { return _mm256_set1_epi64x(-(bit & 1)); }
BNN_INLINE Vec bit_and(Vec a, Vec b) { return _mm256_and_si256(a, b); }
BNN_INLINE Vec bit_xor(Vec a, Vec b) { return _mm256_xor_si256(a, b); }
BNN_INLINE Vec sum3(Vec a, Vec b, Vec c) { return _mm256_ternarylogic_epi64(a, b, c, 0x96); }
BNN_INLINE Vec majority(Vec a, Vec b, Vec c) { return _mm256_ternarylogic_epi64(a, b, c, 0xe8); }
BNN_INLINE Vec borrow(Vec a, Vec b, Vec c) { return _mm256_ternarylogic_epi32(a, b, c, 0xb2); }
BNN_INLINE Vec choose(Vec mask, Vec yes, Vec no) {
  return _mm256_ternarylogic_epi64(mask, yes, no, 0xca);
}
BNN_INLINE Vec or_and(Vec a, Vec b, Vec c) { return _mm256_ternarylogic_epi64(a, b, c, 0xf8); }
BNN_INLINE Vec load_words(const void* words) {
  return _mm256_loadu_si256(static_cast<const Vec*>(words));
}
BNN_INLINE Vec shift_left(Vec x) { return _mm256_slli_epi64(x, 1); }
BNN_INLINE Vec shift_right(Vec x) { return _mm256_srli_epi64(x, 1); }
BNN_INLINE Vec move_words(Vec keep, uint32_t mask, Vec index, Vec x) {
  return _mm256_mask_permutexvar_epi16(keep, static_cast<__mmask16>(mask), index, x);
}
BNN_INLINE Vec broadcast32(int32_t x) { return _mm256_set1_epi32(x); }
BNN_INLINE void spread_bits(uint16_t bits, int32_t* to) {
  _mm512_store_si512(to, _mm512_maskz_set1_epi32(bits, -1));
}
BNN_INLINE Vec interleave8_low(Vec a, Vec b) { return _mm256_unpacklo_epi8(a, b); }
BNN_INLINE Vec interleave8_high(Vec a, Vec b) { return _mm256_unpackhi_epi8(a, b); }
BNN_INLINE Vec interleave16_low(Vec a, Vec b) { return _mm256_unpacklo_epi16(a, b); }
BNN_INLINE Vec interleave16_high(Vec a, Vec b) { return _mm256_unpackhi_epi16(a, b); }
BNN_INLINE Vec interleave32_low(Vec a, Vec b) { return _mm256_unpacklo_epi32(a, b); }
BNN_INLINE Vec interleave32_high(Vec a, Vec b) { return _mm256_unpackhi_epi32(a, b); }
BNN_INLINE Vec transpose_bytes(Vec x) {
  const Vec unit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
  return _mm256_gf2p8affine_epi64_epi8(unit, x, 0);
}
// out[16 * q + 0 .. 3] = lane q of a, b, c, d.
BNN_INLINE void store_lanes(__m128i* out, Vec a, Vec b, Vec c, Vec d) {
  Vec* to = reinterpret_cast<Vec*>(out);
  _mm256_store_si256(to, _mm256_permute2x128_si256(a, b, 0x20));
  _mm256_store_si256(to + 1, _mm256_permute2x128_si256(c, d, 0x20));
  _mm256_store_si256(to + 8, _mm256_permute2x128_si256(a, b, 0x31));
  _mm256_store_si256(to + 9, _mm256_permute2x128_si256(c, d, 0x31));
}

// Each builds on the one before.
#include "kernels/sliced/sums.inc"

#include "kernels/sliced/layer.inc"

#include "kernels/sliced/avx512.inc"

#include "kernels/sliced/pool.inc"

}  // namespace

const SlicedVectors kAvx512SlicedHalf = {sizeof(Vec), spread_planes, count_outputs, pool_outputs};

}  // namespace bnn

BNN_TARGET_END
#endif
