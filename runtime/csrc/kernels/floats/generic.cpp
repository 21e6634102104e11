// Float parts in the generic implementation: the same tiles as elsewhere, with one lane.
#include <string.h>

#include "core/target.h"
#include "kernels/floats/tables.h"

namespace bnn {
namespace {

// a * b + c rounded once. Without the instruction: the product of two floats is exact in double;
// the sum is rounded to odd (the last bit remembers whether anything was lost), after which
// rounding to float is correct.
BNN_INLINE float fused(float a, float b, float c) {
#if defined(__FP_FAST_FMAF)
  return __builtin_fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  double sum = product + addend;
  const double part = sum - product;
  const double lost = (product - (sum - part)) + (addend - part);
  if (lost > 0.0 || lost < 0.0) {
    int64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((bits & 1) == 0) bits += (lost > 0.0) == (sum > 0.0) ? 1 : -1;
    memcpy(&sum, &bits, sizeof bits);
  }
  return static_cast<float>(sum);
#endif
}

typedef float Vec;  // a tile of 4 x 2 sums hides some of the latency of the multiply-add without
                    // the instruction
constexpr int kLanes = 1, kOutputs = 4, kVectors = 2, kHeld = 0;
BNN_INLINE Vec load(const float* p) { return *p; }
BNN_INLINE void store(float* p, Vec v) { *p = v; }
BNN_INLINE void store_some(float* p, Vec v, int64_t lanes) {
  if (lanes > 0) *p = v;
}
BNN_INLINE Vec load_some(const float* p, int64_t lanes) { return lanes > 0 ? *p : 0.0f; }
BNN_INLINE Vec keep_some(Vec v, int64_t lanes, Vec rest) { return lanes > 0 ? v : rest; }
BNN_INLINE Vec larger_all(Vec a, Vec b) { return a > b ? a : b; }
BNN_INLINE Vec even_lanes(Vec a, Vec) { return a; }
BNN_INLINE Vec odd_lanes(Vec, Vec b) { return b; }
BNN_INLINE Vec slide(Vec before, Vec) { return before; }
BNN_INLINE Vec rectify_all(Vec v) { return v > 0.0f ? v : 0.0f; }
BNN_INLINE Vec hold(Vec v) { return v; }
BNN_INLINE Vec broadcast(float x) { return x; }
typedef const float* Weights;
BNN_INLINE Weights load_weights(const float* p) { return p; }
BNN_INLINE Vec pick_weight(Weights w, int output) { return broadcast(w[output]); }
BNN_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return fused(a, b, c); }

constexpr int64_t kFewPixels = 0;

#include "kernels/floats/convolve.inc"

#include "kernels/floats/pool.inc"

// ---- 8-bit
// -------------------------------------------------------------------------------------------------

typedef int32_t Ints;
typedef uint32_t Quads;
typedef int32_t Sums;
struct QuadWeights {
  int8_t channel[4];
};
constexpr int kQuadVectors = 2, kWeightBytes = 4;
constexpr int32_t kOffset = 0;
BNN_INLINE Vec smaller_all(Vec a, Vec b) { return a < b ? a : b; }
BNN_INLINE Ints no_ints() { return 0; }
BNN_INLINE Ints round_all(Vec v) {
  const float integers = 12582912.0f;  // 1.5 * 2^23: no bits are left behind the point
  return static_cast<int32_t>(v + integers - integers);
}
BNN_INLINE Ints load_bytes(const uint8_t* p) { return *p; }
BNN_INLINE void store_bytes(uint8_t* p, Ints v) { *p = static_cast<uint8_t>(v); }
BNN_INLINE Ints merge_bytes(Ints a, Ints b, Ints c, Ints d) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) | static_cast<uint32_t>(b) << 8 |
                              static_cast<uint32_t>(c) << 16 | static_cast<uint32_t>(d) << 24);
}
BNN_INLINE void store_ints(uint32_t* p, Ints v) { *p = static_cast<uint32_t>(v); }
BNN_INLINE Quads load_quads(const uint32_t* p) { return *p; }
BNN_INLINE Quads broadcast_quad(uint32_t quad) { return quad; }
BNN_INLINE QuadWeights load_quad_weights(const int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
BNN_INLINE QuadWeights pick_quad_weight(const uint8_t* p) {
  QuadWeights w;
  memcpy(&w, p, sizeof w);
  return w;
}
BNN_INLINE Sums broadcast_sum(int32_t x) { return x; }
BNN_INLINE Sums load_sums(const int32_t* p) { return *p; }
BNN_INLINE Sums add_products(Sums sum, Quads x, QuadWeights w) {
  for (int k = 0; k < 4; ++k) sum += static_cast<int32_t>(x >> 8 * k & 255) * w.channel[k];
  return sum;
}
BNN_INLINE Vec to_floats(Sums sum) { return static_cast<float>(sum); }
void pack_quad_weights(const int8_t* weights, void* packed) { memcpy(packed, weights, 4); }

#include "kernels/floats/int8.inc"

}  // namespace

const FloatKernels kGenericFloats = {kOutputs,  kVectors * kLanes, convolve_row, copy_columns,
                                     split_row, pool_row,          mean,         dense};

const Int8Kernels kGenericInt8 = {
    kOutputs,          kQuadVectors * kLanes, kWeightBytes, kOffset,    pack_quad_weights,
    convolve_quad_row, quantize_quads,        quantize,     fill_panel, dense_quads};

}  // namespace bnn
