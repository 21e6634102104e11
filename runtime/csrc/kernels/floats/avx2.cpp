// Float parts on AVX2: tiles of 4 channels x 24 pixels of floats in registers, of 4 x 16 in 8-bit
// arithmetic.
#include <string.h>

#include "core/target.h"
#include "kernels/floats/tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

BNN_TARGET_BEGIN("avx2,fma")

namespace bnn {
namespace {

typedef __m256 Vec;
constexpr int kLanes = 8, kOutputs = 4, kVectors = 3, kHeld = 2;
BNN_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
BNN_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
// Masked stores are slow on some CPUs.
BNN_INLINE void store_some(float* p, Vec v, int64_t lanes) {
  __m128 rest = _mm256_castps256_ps128(v);
  if (lanes >= kLanes) return store(p, v);
  if (lanes & 4) {
    _mm_storeu_ps(p, rest);
    rest = _mm256_extractf128_ps(v, 1);
    p += 4;
  }
  if (lanes & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
    rest = _mm_movehl_ps(rest, rest);
    p += 2;
  }
  if (lanes & 1) _mm_store_ss(p, rest);
}
BNN_INLINE __m256i first_lanes(int64_t lanes) {
  const __m256i step = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(lanes)), step);
}
BNN_INLINE Vec load_some(const float* p, int64_t lanes) {
  return _mm256_maskload_ps(p, first_lanes(lanes));
}
BNN_INLINE Vec keep_some(Vec v, int64_t lanes, Vec rest) {
  return _mm256_blendv_ps(rest, v, _mm256_castsi256_ps(first_lanes(lanes)));
}
BNN_INLINE Vec larger_all(Vec a, Vec b) { return _mm256_max_ps(a, b); }
BNN_INLINE Vec in_halves(Vec v) {  // quarters 0, 2, 1, 3
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}
BNN_INLINE Vec even_lanes(Vec a, Vec b) { return in_halves(_mm256_shuffle_ps(a, b, 0x88)); }
BNN_INLINE Vec odd_lanes(Vec a, Vec b) { return in_halves(_mm256_shuffle_ps(a, b, 0xdd)); }
BNN_INLINE Vec slide(Vec before, Vec v) {
  const __m256i now = _mm256_castps_si256(v);
  const __m256i middle = _mm256_permute2x128_si256(_mm256_castps_si256(before), now, 0x21);
  return _mm256_castsi256_ps(_mm256_alignr_epi8(now, middle, 12));
}
BNN_INLINE Vec rectify_all(Vec v) { return _mm256_max_ps(v, _mm256_setzero_ps()); }
BNN_INLINE Vec hold(Vec v) {
  asm("" : "+x"(v));
  return v;
}
BNN_INLINE Vec broadcast(float x) { return _mm256_set1_ps(x); }
typedef const float* Weights;
BNN_INLINE Weights load_weights(const float* p) { return p; }
BNN_INLINE Vec pick_weight(Weights w, int output) { return broadcast(w[output]); }
BNN_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
BNN_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

constexpr int64_t kFewPixels = 0;

#include "kernels/floats/convolve.inc"

#include "kernels/floats/pool.inc"

// ---- 8-bit: products of 16-bit halves of the quads, whose pairs the instruction adds. The one for
// bytes would saturate.
// -------------------------------------------------------------------------------------------------

typedef __m256i Ints;
typedef __m256i Sums;
struct Quads {
  __m256i even, odd;  // channels 0 and 2, 1 and 3
};
typedef Quads QuadWeights;
constexpr int kQuadVectors = 2, kWeightBytes = 8;
constexpr int32_t kOffset = 0;
BNN_INLINE Vec smaller_all(Vec a, Vec b) { return _mm256_min_ps(a, b); }
BNN_INLINE Ints no_ints() { return _mm256_setzero_si256(); }
BNN_INLINE Ints round_all(Vec v) { return _mm256_cvtps_epi32(v); }
BNN_INLINE Ints load_bytes(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
BNN_INLINE void store_bytes(uint8_t* p, Ints v) {
  const __m128i halves =
      _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(halves, halves));
}
BNN_INLINE Ints merge_bytes(Ints a, Ints b, Ints c, Ints d) {
  return _mm256_or_si256(_mm256_or_si256(a, _mm256_slli_epi32(b, 8)),
                         _mm256_or_si256(_mm256_slli_epi32(c, 16), _mm256_slli_epi32(d, 24)));
}
BNN_INLINE void store_ints(uint32_t* p, Ints v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
BNN_INLINE Quads split_quads(__m256i quads) {
  return {_mm256_and_si256(quads, _mm256_set1_epi32(0x00ff00ff)), _mm256_srli_epi16(quads, 8)};
}
BNN_INLINE Quads load_quads(const uint32_t* p) {
  return split_quads(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
BNN_INLINE Quads broadcast_quad(uint32_t quad) {
  return split_quads(_mm256_set1_epi32(static_cast<int32_t>(quad)));
}
BNN_INLINE QuadWeights pick_quad_weight(const uint8_t* p) {
  int32_t pairs[2];
  memcpy(pairs, p, sizeof pairs);
  return {_mm256_set1_epi32(pairs[0]), _mm256_set1_epi32(pairs[1])};
}
BNN_INLINE QuadWeights load_quad_weights(const int8_t* p) {
  const __m256i quads = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm256_srai_epi16(_mm256_slli_epi16(quads, 8), 8), _mm256_srai_epi16(quads, 8)};
}
BNN_INLINE Sums broadcast_sum(int32_t x) { return _mm256_set1_epi32(x); }
BNN_INLINE Sums load_sums(const int32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
BNN_INLINE Sums add_products(Sums sum, const Quads& x, const QuadWeights& w) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x.even, w.even));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(x.odd, w.odd));
}
BNN_INLINE Vec to_floats(Sums sum) { return _mm256_cvtepi32_ps(sum); }
void pack_quad_weights(const int8_t* weights, void* packed) {
  const int16_t halves[4] = {weights[0], weights[2], weights[1], weights[3]};
  memcpy(packed, halves, sizeof halves);
}

#include "kernels/floats/int8.inc"

}  // namespace

const FloatKernels kAvx2Floats = {kOutputs,  kVectors * kLanes, convolve_row, copy_columns,
                                  split_row, pool_row,          mean,         dense};

const Int8Kernels kAvx2Int8 = {
    kOutputs,          kQuadVectors * kLanes, kWeightBytes, kOffset,    pack_quad_weights,
    convolve_quad_row, quantize_quads,        quantize,     fill_panel, dense_quads};

}  // namespace bnn

BNN_TARGET_END
#endif
