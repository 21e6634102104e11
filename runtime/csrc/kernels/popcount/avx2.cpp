// The AVX2 implementation: byte shuffles count four bits of 32 outputs at a time.
// Sums of bytes are widened in time.
//
// Counting, 64 outputs x 4 pixels in registers. popcount(x ^ w) of four bits takes 16 values for
// each of the 16 values of x: one row of a 16 x 16 table in the L1 cache, indexed by the four bits
// of w, which is what VPSHUFB does for 32 outputs. So a step is: fetch the four bits of x of one
// pixel (as the offset of its row), broadcast the row, and per 32 outputs one shuffle and one
// addition of bytes: 2 instructions for 128 binary multiply-adds, where exclusive-or and a shuffle
// popcount would need 8 for 256.
#include <string.h>

#include "core/target.h"
#include "kernels/floats/tables.h"
#include "kernels/popcount/tables.h"
#include "kernels/resize/resize.h"
#include "kernels/sliced/sliced.h"

#if defined(__x86_64__)
#include <immintrin.h>

BNN_TARGET_BEGIN("avx2,fma")

namespace bnn {
namespace {

// ---- packing ----

void pack_floats_avx2(const float* x, int64_t x_pitch, int64_t rows, const float* threshold,
                      const uint32_t* flip, int64_t words, uint32_t* out, int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < words; ++word) {
      const float* in = x + row * x_pitch + word * 32;
      const float* t = threshold + word * 32;
      uint32_t bits = 0;
      for (int i = 0; i < 4; ++i) {
        const __m256 above =
            _mm256_cmp_ps(_mm256_loadu_ps(in + 8 * i), _mm256_loadu_ps(t + 8 * i), _CMP_GE_OQ);
        bits |= static_cast<uint32_t>(_mm256_movemask_ps(above)) << (8 * i);
      }
      out[row * out_pitch + word] = bits ^ flip[word];
    }
  }
}

BNN_INLINE __m256i load_counts(const uint16_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

void pack_counts_avx2(const uint16_t* counts, int64_t block_pitch, int64_t blocks, int64_t rows,
                      const uint16_t* limit, const uint32_t* flip, uint32_t* out,
                      int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < 2 * blocks; ++word) {
      const uint16_t* in = counts + word / 2 * block_pitch + row * kGrowth + word % 2 * 32;
      const uint16_t* t = limit + word * 32;
      const __m256i low = load_counts(in), high = load_counts(in + 16);
      const __m256i below_low = _mm256_cmpeq_epi16(_mm256_min_epu16(low, load_counts(t)), low);
      const __m256i below_high =
          _mm256_cmpeq_epi16(_mm256_min_epu16(high, load_counts(t + 16)), high);
      // The saturating pack works in 128-bit halves: quarters arrive as low 0, high 0, low 1,
      // high 1.
      const __m256i bytes =
          _mm256_permute4x64_epi64(_mm256_packs_epi16(below_low, below_high), 0xd8);
      out[row * out_pitch + word] = static_cast<uint32_t>(_mm256_movemask_epi8(bytes)) ^ flip[word];
    }
  }
}

// r[i] lane j <-> r[j] lane i
BNN_INLINE void transpose_8x8(__m256 (&r)[8]) {
  __m256 t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}

void transpose_avx2(const float* x, int64_t x_pitch, int64_t rows, int64_t columns, float* y,
                    int64_t y_pitch) {
  for (int64_t row = 0; row < rows; row += 8) {
    for (int64_t column = 0; column < columns; column += 8) {
      if (row + 8 <= rows && column + 8 <= columns) {
        __m256 r[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(x + (row + i) * x_pitch + column);
        transpose_8x8(r);
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) _mm256_storeu_ps(y + (column + i) * y_pitch + row, r[i]);
      } else {
        for (int64_t i = row; i < rows && i < row + 8; ++i) {
          for (int64_t k = column; k < columns && k < column + 8; ++k)
            y[k * y_pitch + i] = x[i * x_pitch + k];
        }
      }
    }
  }
}

void unpack_counts_avx2(const uint16_t* counts, int64_t rows, int32_t total, float* y,
                        int64_t y_pitch) {
  const __m256i all = _mm256_set1_epi32(total);
  for (int64_t channel = 0; channel < kGrowth; channel += 8) {
    int64_t row = 0;
    for (; row + 8 <= rows; row += 8) {
      __m256 r[8];
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        const void* in = counts + (row + i) * kGrowth + channel;
        const __m256i m = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(in)));
        r[i] = _mm256_cvtepi32_ps(_mm256_sub_epi32(all, _mm256_add_epi32(m, m)));
      }
      transpose_8x8(r);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) _mm256_storeu_ps(y + (channel + i) * y_pitch + row, r[i]);
    }
    for (; row < rows; ++row) {
      for (int64_t i = channel; i < channel + 8; ++i) {
        y[i * y_pitch + row] = static_cast<float>(total - 2 * counts[row * kGrowth + i]);
      }
    }
  }
}

// ---- counting mismatches ----

constexpr int kPixels = 4;
constexpr int kNibbles = 8;  // groups of four bits in a word
// A byte holds 255; each step adds at most 4.
constexpr int64_t kByteSteps = 255 / 4;

// kTable.rows[x][w] = popcount(x ^ w)
struct Table {
  alignas(16) uint8_t rows[16][16];
};
constexpr Table make_table() {
  Table table = {};
  for (int x = 0; x < 16; ++x) {
    for (int w = 0; w < 16; ++w) {
      for (int bit = 0; bit < 4; ++bit)
        table.rows[x][w] = static_cast<uint8_t>(table.rows[x][w] + (((x ^ w) >> bit) & 1));
    }
  }
  return table;
}
constexpr Table kTable = make_table();

bool suits_all(int64_t, int64_t, int64_t) { return true; }
size_t weight_bytes_nibbles(int64_t words) {
  return static_cast<size_t>(kTaps * words * kNibbles * kGrowth);
}
size_t scratch_bytes_nibbles(int64_t words, int64_t height, int64_t width) {
  return static_cast<size_t>((height + 2) * (width + 2) * words * kNibbles);
}

void pack_weights_nibbles(const uint32_t* weight, int64_t words, void* packed) {
  uint8_t* out = static_cast<uint8_t*>(
      packed);  // [tap][word][nibble][64], nibbles in the order of spread_nibbles
  for (int64_t i = 0; i < kTaps * words; ++i) {
    for (int64_t nibble = 0; nibble < kNibbles; ++nibble) {
      const int64_t shift = nibble % 4 * 8 + nibble / 4 * 4;
      for (int64_t output = 0; output < kGrowth; ++output) {
        *out++ = static_cast<uint8_t>((weight[output * kTaps * words + i] >> shift) & 15);
      }
    }
  }
}

// For each word the table offsets 16 * nibble: the low halves of its four bytes, then the high
// halves.
void spread_nibbles(const uint32_t* words, int64_t count, uint8_t* offsets) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t low = (words[i] << 4) & 0xf0f0f0f0u, high = words[i] & 0xf0f0f0f0u;
    const uint64_t both = low | static_cast<uint64_t>(high) << 32;
    memcpy(offsets + i * kNibbles, &both, sizeof both);
  }
}

BNN_INLINE void widen(const __m256i (&sum)[kPixels][2], uint16_t (&totals)[kPixels][kGrowth]) {
  for (int p = 0; p < kPixels; ++p) {
    for (int v = 0; v < 4; ++v) {
      const __m128i bytes = v % 2 == 0 ? _mm256_castsi256_si128(sum[p][v / 2])
                                       : _mm256_extracti128_si256(sum[p][v / 2], 1);
      __m256i* total = reinterpret_cast<__m256i*>(&totals[p][v * 16]);
      _mm256_storeu_si256(total,
                          _mm256_add_epi16(_mm256_loadu_si256(total), _mm256_cvtepu8_epi16(bytes)));
    }
  }
}

// Counts 4 pixels x 64 outputs over `steps` nibbles of one row of the window.
BNN_INLINE void nibbles_4x64(const uint8_t* const (&offsets)[kPixels], const uint8_t* weights,
                             int64_t steps, uint16_t (&totals)[kPixels][kGrowth]) {
  const uint8_t* table = kTable.rows[0];
  for (int64_t begin = 0; begin < steps; begin += kByteSteps) {
    const int64_t end = begin + kByteSteps < steps ? begin + kByteSteps : steps;
    __m256i sum[kPixels][2];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) sum[p][0] = sum[p][1] = _mm256_setzero_si256();
    for (int64_t i = begin; i < end; ++i) {
      const __m256i* w = reinterpret_cast<const __m256i*>(weights + i * kGrowth);
      const __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1);
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        const __m128i* row = reinterpret_cast<const __m128i*>(table + offsets[p][i]);
        const __m256i counts = _mm256_broadcastsi128_si256(_mm_load_si128(row));
        sum[p][0] = _mm256_add_epi8(sum[p][0], _mm256_shuffle_epi8(counts, w0));
        sum[p][1] = _mm256_add_epi8(sum[p][1], _mm256_shuffle_epi8(counts, w1));
      }
    }
    widen(sum, totals);
  }
}

void count_nibbles_avx2(const CountJob& job) {
  const int64_t across = job.width + 2, pixels = job.height * job.width;
  const int64_t steps =
      3 * job.words * kNibbles;  // the three pixels of a window's row are adjacent
  uint8_t* offsets = static_cast<uint8_t*>(job.scratch);
  spread_nibbles(job.map, (job.height + 2) * across * job.words, offsets);
  for (int64_t pixel = 0; pixel < pixels; pixel += kPixels) {
    const uint8_t* window[kPixels];
    for (int64_t p = 0; p < kPixels; ++p) {
      const int64_t i =
          pixel + p < pixels ? pixel + p : pixels - 1;  // the last tile repeats the last pixel
      window[p] = offsets + (i / job.width * across + i % job.width) * job.words * kNibbles;
    }
    uint16_t totals[kPixels][kGrowth] = {};
    const uint8_t* weights = static_cast<const uint8_t*>(job.weights);
    for (int dy = 0; dy < 3; ++dy) {
      nibbles_4x64(window, weights, steps, totals);
      weights += steps * kGrowth;
      for (int p = 0; p < kPixels; ++p) window[p] += across * job.words * kNibbles;
    }
    for (int64_t p = 0; p < kPixels && pixel + p < pixels; ++p) {
      uint16_t* counts = job.counts + (pixel + p) * kGrowth;
      for (int i = 0; i < kGrowth; ++i)
        counts[i] = static_cast<uint16_t>(totals[p][i] + (job.add ? counts[i] : 0));
    }
  }
}

const CountFamily kFamilies[] = {{"popcount", suits_all, weight_bytes_nibbles, pack_weights_nibbles,
                                  scratch_bytes_nibbles, count_nibbles_avx2}};

}  // namespace

const Kernels kAvx2Kernels = {
    "avx2",    "AVX2 FMA", pack_floats_avx2, pack_counts_avx2, transpose_avx2, unpack_counts_avx2,
    kFamilies, 1,          kAvx2Floats,      kAvx2Int8,        kAvx2Resize,    &kAvx2Sliced};

}  // namespace bnn

BNN_TARGET_END
#endif
