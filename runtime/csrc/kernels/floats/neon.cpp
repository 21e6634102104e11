// Float parts on NEON: tiles of 8 channels x 12 pixels in registers, for floats and for four 8-bit
// channels in the place of a float.
#include <string.h>

#include "core/target.h"
#include "kernels/floats/tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

typedef float32x4_t Vec;
constexpr int kLanes = 4, kOutputs = 8, kVectors = 3, kHeld = 3;
BNN_INLINE Vec load(const float* p) { return vld1q_f32(p); }
BNN_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
BNN_INLINE void store_some(float* p, Vec v, int64_t lanes) {
  for (int64_t i = 0; i < lanes; ++i) p[i] = v[i];
}
BNN_INLINE Vec load_some(const float* p, int64_t lanes) {
  Vec v = vdupq_n_f32(0.0f);
  for (int64_t i = 0; i < lanes; ++i) v[i] = p[i];
  return v;
}
BNN_INLINE Vec keep_some(Vec v, int64_t lanes, Vec rest) {
  for (int64_t i = 0; i < lanes; ++i) rest[i] = v[i];
  return rest;
}
BNN_INLINE Vec larger_all(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
BNN_INLINE Vec even_lanes(Vec a, Vec b) { return vuzp1q_f32(a, b); }
BNN_INLINE Vec odd_lanes(Vec a, Vec b) { return vuzp2q_f32(a, b); }
BNN_INLINE Vec slide(Vec before, Vec v) { return vextq_f32(before, v, 3); }
// Not vmaxq: NaN is rectified to 0 here, as everywhere.
BNN_INLINE Vec rectify_all(Vec v) {
  const Vec zero = vdupq_n_f32(0.0f);
  return vbslq_f32(vcgtq_f32(v, zero), v, zero);
}
BNN_INLINE Vec hold(Vec v) {
  asm("" : "+w"(v));
  return v;
}
BNN_INLINE Vec broadcast(float x) { return vdupq_n_f32(x); }
struct Weights {  // of the eight outputs of a tile; multiply-adds take one lane of them
  float32x4_t low, high;
};
BNN_INLINE Weights load_weights(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
BNN_INLINE Vec pick_weight(const Weights& w, int output) {
  return vdupq_n_f32(output < 4 ? w.low[output] : w.high[output - 4]);
}
BNN_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
BNN_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

constexpr int64_t kFewPixels = 0;

#include "kernels/floats/convolve.inc"

#include "kernels/floats/pool.inc"

// ---- 8-bit: levels minus 128 are signed bytes as the weights are. Two products fit 16 bits.
// -------------------------------------------------------------------------------------------------

typedef uint32x4_t Ints;
typedef int8x16_t Quads;
typedef int8x16_t QuadWeights;
typedef int32x4_t Sums;
constexpr int kQuadVectors = 3, kWeightBytes = 4;
constexpr int32_t kOffset = 128;
BNN_INLINE Vec smaller_all(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
BNN_INLINE Ints no_ints() { return vdupq_n_u32(0); }
BNN_INLINE Ints round_all(Vec v) { return vreinterpretq_u32_s32(vcvtnq_s32_f32(v)); }
BNN_INLINE Ints load_bytes(const uint8_t* p) {
  uint32_t bytes;
  memcpy(&bytes, p, sizeof bytes);
  const uint16x8_t halves = vmovl_u8(vcreate_u8(bytes));
  return vmovl_u16(vget_low_u16(halves));
}
BNN_INLINE void store_bytes(uint8_t* p, Ints v) {
  const uint16x4_t halves = vmovn_u32(v);
  const uint8x8_t bytes = vmovn_u16(vcombine_u16(halves, halves));
  const uint32_t first = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
  memcpy(p, &first, sizeof first);
}
BNN_INLINE Ints merge_bytes(Ints a, Ints b, Ints c, Ints d) {
  return vorrq_u32(vsliq_n_u32(a, b, 8), vshlq_n_u32(vsliq_n_u32(c, d, 8), 16));
}
BNN_INLINE void store_ints(uint32_t* p, Ints v) { vst1q_u32(p, v); }
BNN_INLINE Quads make_signed(uint32x4_t quads) {
  return vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(quads), vdupq_n_u8(0x80)));
}
BNN_INLINE Quads load_quads(const uint32_t* p) { return make_signed(vld1q_u32(p)); }
BNN_INLINE Quads broadcast_quad(uint32_t quad) { return make_signed(vdupq_n_u32(quad)); }
BNN_INLINE QuadWeights pick_quad_weight(const uint8_t* p) {
  int32_t quad;
  memcpy(&quad, p, sizeof quad);
  return vreinterpretq_s8_s32(vdupq_n_s32(quad));
}
BNN_INLINE QuadWeights load_quad_weights(const int8_t* p) { return vld1q_s8(p); }
BNN_INLINE Sums broadcast_sum(int32_t x) { return vdupq_n_s32(x); }
BNN_INLINE Sums load_sums(const int32_t* p) { return vld1q_s32(p); }
BNN_INLINE Sums add_products(Sums sum, Quads x, QuadWeights w) {
  const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w)), high = vmull_high_s8(x, w);
  return vpadalq_s16(sum, vpaddq_s16(low, high));
}
BNN_INLINE Vec to_floats(Sums sum) { return vcvtq_f32_s32(sum); }
void pack_quad_weights(const int8_t* weights, void* packed) { memcpy(packed, weights, 4); }

#include "kernels/floats/int8.inc"

// ---- 8-bit with the dot products that ARMv8.2 may have: one instruction for four
// -------------------------------------------------------------------------------------------------

#if defined(__clang__)
BNN_TARGET_BEGIN("dotprod")
#else
BNN_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#endif

namespace dot {

BNN_INLINE Sums add_products(Sums sum, Quads x, QuadWeights w) { return vdotq_s32(sum, x, w); }

#include "kernels/floats/int8.inc"

}  // namespace dot

BNN_TARGET_END

}  // namespace

const FloatKernels kNeonFloats = {kOutputs,  kVectors * kLanes, convolve_row, copy_columns,
                                  split_row, pool_row,          mean,         dense};

const Int8Kernels kNeonInt8 = {
    kOutputs,          kQuadVectors * kLanes, kWeightBytes, kOffset,    pack_quad_weights,
    convolve_quad_row, quantize_quads,        quantize,     fill_panel, dense_quads};

const Int8Kernels kNeonDotInt8 = {
    kOutputs,          kQuadVectors * kLanes,  kWeightBytes,        kOffset,
    pack_quad_weights, dot::convolve_quad_row, dot::quantize_quads, dot::quantize,
    dot::fill_panel,   dot::dense_quads};

}  // namespace bnn
#endif
