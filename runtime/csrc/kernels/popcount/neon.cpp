// The NEON implementation (aarch64): CNT counts the bits of bytes, byte sums are widened in time.
//
// Counting, 16 outputs x 2 pixels in registers: two exclusive-ors, BSL, CNT and ADD for 256 binary
// multiply-adds. Running exclusive-ors X and W of the words of a window and of the weights give the
// parities P_k = X_k ^ W_k of all mismatches up to word k; the carry out of words 2j and 2j + 1 is
// P_2j ? ~P_2j+1 : P_2j-1, and m = 2 * popcount(carries) + popcount(last P): see
// kernels/popcount/avx512.cpp. BSL has no complement, so W_2j+1 is stored complemented for even j.
// For odd j BSL then gives the complement of the carry, whose zeros are counted downwards.
//
// A window is one chain: in a map whose rows hold running exclusive-ors along the whole row it is
// three pieces, each corrected by one word. Sums stay in bytes, four of them for each output, and
// are widened by pairwise additions, which have one slow pipe on small cores.
#include "core/target.h"
#include "kernels/floats/tables.h"
#include "kernels/popcount/tables.h"
#include "kernels/resize/resize.h"
#include "kernels/sliced/sliced.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

// ---- packing ----

// Lanes of all ones or zeros -> bits, lane 0 lowest.
BNN_INLINE uint32_t gather_bits(uint8x16_t mask) {
  static const uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t bits = vandq_u8(mask, vld1q_u8(kBits));
  return static_cast<uint32_t>(vaddv_u8(vget_low_u8(bits))) |
         static_cast<uint32_t>(vaddv_u8(vget_high_u8(bits))) << 8;
}

BNN_INLINE uint16x8_t above(const float* x, const float* t) {
  const uint32x4_t low = vcgeq_f32(vld1q_f32(x), vld1q_f32(t));
  return vcombine_u16(vmovn_u32(low), vmovn_u32(vcgeq_f32(vld1q_f32(x + 4), vld1q_f32(t + 4))));
}

void pack_floats_neon(const float* x, int64_t x_pitch, int64_t rows, const float* threshold,
                      const uint32_t* flip, int64_t words, uint32_t* out, int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < words; ++word) {
      uint32_t bits = 0;
      for (int64_t i = 0; i < 32; i += 16) {
        const float* in = x + row * x_pitch + word * 32 + i;
        const float* t = threshold + word * 32 + i;
        bits |= gather_bits(vcombine_u8(vmovn_u16(above(in, t)), vmovn_u16(above(in + 8, t + 8))))
                << i;
      }
      out[row * out_pitch + word] = bits ^ flip[word];
    }
  }
}

void pack_counts_neon(const uint16_t* counts, int64_t block_pitch, int64_t blocks, int64_t rows,
                      const uint16_t* limit, const uint32_t* flip, uint32_t* out,
                      int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < 2 * blocks; ++word) {
      const uint16_t* in = counts + word / 2 * block_pitch + row * kGrowth + word % 2 * 32;
      const uint16_t* t = limit + word * 32;
      uint32_t bits = 0;
      for (int64_t i = 0; i < 32; i += 16) {
        const uint16x8_t low = vcleq_u16(vld1q_u16(in + i), vld1q_u16(t + i));
        const uint16x8_t high = vcleq_u16(vld1q_u16(in + i + 8), vld1q_u16(t + i + 8));
        bits |= gather_bits(vcombine_u8(vmovn_u16(low), vmovn_u16(high))) << i;
      }
      out[row * out_pitch + word] = bits ^ flip[word];
    }
  }
}

// r[i] lane j <-> r[j] lane i
BNN_INLINE void transpose_4x4(float32x4_t (&r)[4]) {
  const float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
  r[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  r[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  r[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  r[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

void transpose_neon(const float* x, int64_t x_pitch, int64_t rows, int64_t columns, float* y,
                    int64_t y_pitch) {
  for (int64_t row = 0; row < rows; row += 4) {
    for (int64_t column = 0; column < columns; column += 4) {
      if (row + 4 <= rows && column + 4 <= columns) {
        float32x4_t r[4];
        for (int i = 0; i < 4; ++i) r[i] = vld1q_f32(x + (row + i) * x_pitch + column);
        transpose_4x4(r);
        for (int i = 0; i < 4; ++i) vst1q_f32(y + (column + i) * y_pitch + row, r[i]);
      } else {
        for (int64_t i = row; i < rows && i < row + 4; ++i) {
          for (int64_t k = column; k < columns && k < column + 4; ++k)
            y[k * y_pitch + i] = x[i * x_pitch + k];
        }
      }
    }
  }
}

void unpack_counts_neon(const uint16_t* counts, int64_t rows, int32_t total, float* y,
                        int64_t y_pitch) {
  const int32x4_t all = vdupq_n_s32(total);
  for (int64_t channel = 0; channel < kGrowth; channel += 4) {
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
      float32x4_t r[4];
      for (int i = 0; i < 4; ++i) {
        const uint32x4_t m = vmovl_u16(vld1_u16(counts + (row + i) * kGrowth + channel));
        r[i] = vcvtq_f32_s32(vsubq_s32(all, vreinterpretq_s32_u32(vaddq_u32(m, m))));
      }
      transpose_4x4(r);
      for (int i = 0; i < 4; ++i) vst1q_f32(y + (channel + i) * y_pitch + row, r[i]);
    }
    for (; row < rows; ++row) {
      for (int64_t i = channel; i < channel + 4; ++i) {
        y[i * y_pitch + row] = static_cast<float>(total - 2 * counts[row * kGrowth + i]);
      }
    }
  }
}

// ---- counting mismatches ----

constexpr int kPixels = 2;
constexpr int kOutputVectors = 4;  // of four outputs
constexpr int kTileOutputs = 4 * kOutputVectors;
// A byte holds 255; two pairs of words add at most 16.
constexpr int64_t kByteSteps = 255 / 16;

// Words of a window, rounded up to pairs; the odd one repeats its predecessor.
BNN_INLINE int64_t window_words(int64_t words) { return (kTaps * words + 1) / 2 * 2; }

bool suits_all(int64_t, int64_t, int64_t) { return true; }

size_t weight_bytes_prefix(int64_t words) {
  return static_cast<size_t>(window_words(words) * kGrowth) * sizeof(uint32_t);
}

// One window for each pixel of a tile.
size_t scratch_bytes_prefix(int64_t words, int64_t, int64_t) {
  return static_cast<size_t>(kPixels * window_words(words)) * sizeof(uint32_t);
}

// [tile of outputs][pair of words][vector of outputs][word of the pair][4]: running exclusive-or
// along the words.
void pack_weights_prefix(const uint32_t* weight, int64_t words, void* packed) {
  uint32_t* out = static_cast<uint32_t*>(packed);
  const int64_t window = window_words(words);
  for (int64_t output = 0; output < kGrowth; ++output) {
    uint32_t* tile = out + output / kTileOutputs * window * kTileOutputs +
                     output % kTileOutputs / 4 * 8 + output % 4;
    uint32_t running = 0;
    for (int64_t k = 0; k < window; ++k) {
      if (k < kTaps * words) running ^= weight[output * kTaps * words + k];
      tile[k / 2 * 2 * kTileOutputs + k % 2 * 4] = k % 4 == 1 ? ~running : running;
    }
  }
}

// Replaces each row's words by their running exclusive-or.
void run_along_rows(uint32_t* map, int64_t rows, int64_t row_words) {
  for (int64_t y = 0; y < rows; ++y, map += row_words) {
    for (int64_t k = 1; k < row_words; ++k) map[k] ^= map[k - 1];
  }
}

// The running exclusive-or along a window whose first word is `from`, in a map of running rows.
// May write up to 3 words behind, and read as many.
BNN_INLINE void make_window(const uint32_t* from, bool is_first, int64_t row_words, int64_t words,
                            uint32_t* window) {
  uint32_t running = 0;  // of the rows above
  for (int dy = 0; dy < 3; ++dy, from += row_words, window += 3 * words) {
    const uint32_t with = running ^ (is_first ? 0 : from[-1]);
    const uint32x4_t all = vdupq_n_u32(with);
    for (int64_t k = 0; k < 3 * words; k += 4)
      vst1q_u32(window + k, veorq_u32(vld1q_u32(from + k), all));
    running = from[3 * words - 1] ^ with;
  }
  if (words % 2 != 0) *window = running;
}

// Sums of a tile: [pixel][vector of outputs], four bytes or two halves of them for each output.
template <typename Vector>
using Tile = Vector[kPixels][kOutputVectors];

template <typename Visit>
BNN_INLINE void for_tile(Visit visit) {
#pragma GCC unroll 2
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < kOutputVectors; ++v) visit(p, v);
  }
}

// A word in all lanes, by one instruction: the compiler would take two for one with an offset.
BNN_INLINE uint8x16_t broadcast_next(const uint32_t*& x) {
  uint8x16_t all;
  asm("ld1r {%0.4s}, [%1], #4" : "=w"(all), "+r"(x) : "m"(*x));
  return all;
}

// The carries out of the next two words of both pixels; *last becomes the parity up to them.
// is_second: counts the zeros, downwards.
BNN_INLINE void add_pair(const uint32_t* (&x)[kPixels], const uint32_t* weights, bool is_second,
                         Tile<uint8x16_t>& last, Tile<uint8x16_t>& carries) {
  uint8x16_t x0[kPixels], x1[kPixels];
#pragma GCC unroll 2
  for (int p = 0; p < kPixels; ++p) {
    x0[p] = broadcast_next(x[p]);
    x1[p] = broadcast_next(x[p]);
  }
#pragma GCC unroll 4
  for (int v = 0; v < kOutputVectors; ++v) {
    const uint8x16_t w0 = vreinterpretq_u8_u32(vld1q_u32(weights + 8 * v));
    const uint8x16_t w1 = vreinterpretq_u8_u32(vld1q_u32(weights + 8 * v + 4));
#pragma GCC unroll 2
    for (int p = 0; p < kPixels; ++p) {
      const uint8x16_t parity = veorq_u8(w1, x1[p]);
      const uint8x16_t count = vcntq_u8(vbslq_u8(veorq_u8(w0, x0[p]), parity, last[p][v]));
      carries[p][v] = is_second ? vsubq_u8(carries[p][v], count) : vaddq_u8(carries[p][v], count);
      last[p][v] = parity;
    }
    // Nothing moves up across this: all registers are taken.
    uint8x16_t a = carries[0][v], b = carries[1][v];
    asm volatile("" : "+w"(a), "+w"(b));
    carries[0][v] = a;
    carries[1][v] = b;
  }
}

// Adds the bytes' sums to the totals and starts new ones; `lacking` is what counting downwards
// lacks.
BNN_INLINE void widen(int64_t lacking, Tile<uint8x16_t>& carries, Tile<uint16x8_t>& totals) {
  const uint8x16_t all = vdupq_n_u8(static_cast<uint8_t>(lacking));
  for_tile([&](int p, int v) {
    totals[p][v] = vpadalq_u8(totals[p][v], vaddq_u8(carries[p][v], all));
    carries[p][v] = vdupq_n_u8(0);
  });
}

// Counts 2 pixels x 16 outputs over windows of `length` words.
BNN_INLINE void prefix_tile(const uint32_t* const (&windows)[kPixels], int64_t length,
                            const uint32_t* weights, Tile<uint16x8_t>& totals) {
  const uint32_t* x[kPixels] = {windows[0], windows[1]};
  Tile<uint8x16_t> carries, last;
  for_tile([&](int p, int v) {
    carries[p][v] = last[p][v] = vdupq_n_u8(0);
    totals[p][v] = vdupq_n_u16(0);
  });
  int64_t left = length / 4, steps = 0;
  while (left > 0) {
    if (steps > 0) widen(8 * steps, carries, totals);
    steps = left < kByteSteps ? left : kByteSteps;
    for (int64_t i = 0; i < steps; ++i, weights += 4 * kTileOutputs) {
      add_pair(x, weights, false, last, carries);
      add_pair(x, weights + 2 * kTileOutputs, true, last, carries);
    }
    left -= steps;
  }
  const bool is_odd = length % 4 != 0;  // one pair more: its parity is complemented
  if (is_odd) add_pair(x, weights, false, last, carries);
  widen(8 * steps, carries, totals);
  for_tile([&](int p, int v) {
    const uint8x16_t ones = is_odd ? vmvnq_u8(last[p][v]) : last[p][v];
    totals[p][v] = vpadalq_u8(vshlq_n_u16(totals[p][v], 1), vcntq_u8(ones));
  });
}

void count_prefix_neon(const CountJob& job) {
  const int64_t row_words = (job.width + 2) * job.words, pixels = job.height * job.width;
  const int64_t window = window_words(job.words);
  uint32_t* scratch = static_cast<uint32_t*>(job.scratch);
  run_along_rows(job.map, job.height + 2, row_words);
  for (int64_t pixel = 0; pixel < pixels; pixel += kPixels) {
    const uint32_t* const windows[kPixels] = {scratch, scratch + window};
    for (int64_t p = 0; p < kPixels; ++p) {  // the last tile repeats the last pixel
      const int64_t i = pixel + p < pixels ? pixel + p : pixels - 1, x = i % job.width;
      make_window(job.map + i / job.width * row_words + x * job.words, x == 0, row_words, job.words,
                  scratch + p * window);
    }
    for (int64_t first = 0; first < kGrowth; first += kTileOutputs) {
      Tile<uint16x8_t> totals;
      prefix_tile(windows, window, static_cast<const uint32_t*>(job.weights) + first * window,
                  totals);
      for (int64_t p = 0; p < kPixels && pixel + p < pixels; ++p) {
        uint16_t* counts = job.counts + (pixel + p) * kGrowth + first;
        for (int v = 0; v < kOutputVectors; v += 2) {
          uint16x8_t m = vpaddq_u16(totals[p][v], totals[p][v + 1]);
          if (job.add) m = vaddq_u16(m, vld1q_u16(counts + 4 * v));
          vst1q_u16(counts + 4 * v, m);
        }
      }
    }
  }
}

const CountFamily kFamilies[] = {{"popcount", suits_all, weight_bytes_prefix, pack_weights_prefix,
                                  scratch_bytes_prefix, count_prefix_neon}};

}  // namespace

const Kernels kNeonKernels = {
    "neon",    "ASIMD", pack_floats_neon, pack_counts_neon, transpose_neon, unpack_counts_neon,
    kFamilies, 1,       kNeonFloats,      kNeonInt8,        kNeonResize,    &kNeonSliced};

const Kernels kNeonDotKernels = {
    "neon_dot",     "ASIMD ASIMDDP",    pack_floats_neon, pack_counts_neon,
    transpose_neon, unpack_counts_neon, kFamilies,        1,
    kNeonFloats,    kNeonDotInt8,       kNeonResize,      &kNeonSliced};

}  // namespace bnn
#endif
