// Float parts on AVX-512: tiles of 8 channels x 48 pixels in registers, for floats and, with the
// dot products of VNNI, for four 8-bit channels in the place of a float.
#include <string.h>

#include "core/target.h"
#include "kernels/floats/tables.h"

#if defined(__x86_64__)
#include "core/intrinsics.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // GCC 12: undefined vectors inside its own intrinsics
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

BNN_TARGET_BEGIN("avx512f,avx512bw,avx512vnni,avx2,fma")

namespace bnn {
namespace {

BNN_INLINE __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : (1 << count) - 1);
}

typedef __m512 Vec;
constexpr int kLanes = 16, kOutputs = 8, kVectors = 3, kHeld = 3;
BNN_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
BNN_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
BNN_INLINE void store_some(float* p, Vec v, int64_t lanes) {
  _mm512_mask_storeu_ps(p, first_lanes(lanes), v);
}
BNN_INLINE Vec load_some(const float* p, int64_t lanes) {
  return _mm512_maskz_loadu_ps(first_lanes(lanes), p);
}
BNN_INLINE Vec keep_some(Vec v, int64_t lanes, Vec rest) {
  return _mm512_mask_blend_ps(first_lanes(lanes), rest, v);
}
BNN_INLINE Vec larger_all(Vec a, Vec b) { return _mm512_max_ps(a, b); }
BNN_INLINE Vec even_lanes(Vec a, Vec b) {
  const __m512i order = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  return _mm512_permutex2var_ps(a, order, b);
}
BNN_INLINE Vec odd_lanes(Vec a, Vec b) {
  const __m512i order = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_ps(a, order, b);
}
BNN_INLINE Vec slide(Vec before, Vec v) {
  const __m512i order =
      _mm512_set_epi32(30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15);
  return _mm512_permutex2var_ps(before, order, v);
}
BNN_INLINE Vec rectify_all(Vec v) { return _mm512_max_ps(v, _mm512_setzero_ps()); }
BNN_INLINE Vec hold(Vec v) {
#if !defined(BNN_EMULATE_AVX512)  // where a vector is a struct
  asm("" : "+v"(v));
#endif
  return v;
}
BNN_INLINE Vec broadcast(float x) { return _mm512_set1_ps(x); }
typedef const float* Weights;
BNN_INLINE Weights load_weights(const float* p) { return p; }
BNN_INLINE Vec pick_weight(Weights w, int output) { return broadcast(w[output]); }
BNN_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
BNN_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

constexpr int64_t kFewPixels = 8;

#include "kernels/floats/convolve.inc"

#include "kernels/floats/few.inc"

#include "kernels/floats/pool.inc"

// ---- 8-bit: the same tile, four channels to a lane
// --------------------------------------------------------------------

typedef __m512i Ints;
typedef __m512i Quads;
typedef __m512i QuadWeights;
typedef __m512i Sums;
constexpr int kQuadVectors = 3, kWeightBytes = 4;
constexpr int32_t kOffset = 0;
BNN_INLINE Vec smaller_all(Vec a, Vec b) { return _mm512_min_ps(a, b); }
BNN_INLINE Ints no_ints() { return _mm512_setzero_si512(); }
BNN_INLINE Ints round_all(Vec v) { return _mm512_cvtps_epi32(v); }
BNN_INLINE Ints load_bytes(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
BNN_INLINE void store_bytes(uint8_t* p, Ints v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
}
BNN_INLINE Ints merge_bytes(Ints a, Ints b, Ints c, Ints d) {
  const Ints low = _mm512_or_si512(a, _mm512_slli_epi32(b, 8));
  return _mm512_ternarylogic_epi32(low, _mm512_slli_epi32(c, 16), _mm512_slli_epi32(d, 24), 0xfe);
}
BNN_INLINE void store_ints(uint32_t* p, Ints v) { _mm512_storeu_si512(p, v); }
BNN_INLINE Quads load_quads(const uint32_t* p) {
  Quads v = _mm512_loadu_si512(p);
#if !defined(BNN_EMULATE_AVX512)
  asm("" : "+v"(v));  // see hold
#endif
  return v;
}
BNN_INLINE Quads broadcast_quad(uint32_t quad) {
  return _mm512_set1_epi32(static_cast<int32_t>(quad));
}
BNN_INLINE QuadWeights pick_quad_weight(const uint8_t* p) {
  int32_t quad;
  memcpy(&quad, p, sizeof quad);
  return _mm512_set1_epi32(quad);
}
BNN_INLINE QuadWeights load_quad_weights(const int8_t* p) { return _mm512_loadu_si512(p); }
BNN_INLINE Sums broadcast_sum(int32_t x) { return _mm512_set1_epi32(x); }
BNN_INLINE Sums load_sums(const int32_t* p) { return _mm512_loadu_si512(p); }
BNN_INLINE Sums add_products(Sums sum, Quads x, QuadWeights w) {
#if defined(BNN_EMULATE_AVX512)
  return _mm512_dpbusd_epi32(sum, x, w);
#else
  // GCC 12 copies the sum of the intrinsic, which takes a register more than there is.
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "vm"(w));
  return sum;
#endif
}
BNN_INLINE Vec to_floats(Sums sum) { return _mm512_cvtepi32_ps(sum); }
void pack_quad_weights(const int8_t* weights, void* packed) { memcpy(packed, weights, 4); }

#include "kernels/floats/int8.inc"

}  // namespace

const FloatKernels kAvx512Floats = {kOutputs,  kVectors * kLanes, convolve_row, copy_columns,
                                    split_row, pool_row,          mean,         dense};

const Int8Kernels kAvx512Int8 = {
    kOutputs,          kQuadVectors * kLanes, kWeightBytes, kOffset,    pack_quad_weights,
    convolve_quad_row, quantize_quads,        quantize,     fill_panel, dense_quads};

}  // namespace bnn

BNN_TARGET_END
#endif
