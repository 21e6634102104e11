// The AVX-512 implementation: masks pack, and VPOPCNTD counts.
// Running exclusive-or removes part of the counting.
//
// Counting, 64 outputs x 2 pixels in registers, 2.5 instructions per vector of words instead of 3.
// The words a_k = x_k ^ w_k of a window are added three at a time by full adders whose sum bit is a
// parity, and parity is linear: the parity of a_0..a_k is P_k = X_k ^ W_k with X_k = x_0 ^ ... ^
// x_k and W_k likewise. With X and W stored instead of x and w, P_k costs one exclusive-or and
// depends on nothing else. The carry out of words 2j and 2j + 1 is P_2j ? ~P_2j+1 : P_2j-1, one
// ternary-logic instruction. So m = 2 * popcount(carries) + popcount(last P). Chains run down the
// window's columns, so that one transformed row of pixels serves all three columns.
#include "core/target.h"
#include "kernels/floats/tables.h"
#include "kernels/popcount/tables.h"
#include "kernels/resize/resize.h"
#include "kernels/sliced/sliced.h"

#if defined(__x86_64__)
#include "core/intrinsics.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // GCC 12: undefined vectors inside its own intrinsics
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

BNN_TARGET_BEGIN("avx512f,avx512bw,avx512vpopcntdq,avx2,fma")

namespace bnn {
namespace {

// ---- packing ----

void pack_floats_avx512(const float* x, int64_t x_pitch, int64_t rows, const float* threshold,
                        const uint32_t* flip, int64_t words, uint32_t* out, int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < words; ++word) {
      const float* in = x + row * x_pitch + word * 32;
      const float* t = threshold + word * 32;
      const uint32_t low = _mm512_cmp_ps_mask(_mm512_loadu_ps(in), _mm512_loadu_ps(t), _CMP_GE_OQ);
      const uint32_t high =
          _mm512_cmp_ps_mask(_mm512_loadu_ps(in + 16), _mm512_loadu_ps(t + 16), _CMP_GE_OQ);
      out[row * out_pitch + word] = (low | high << 16) ^ flip[word];
    }
  }
}

void pack_counts_avx512(const uint16_t* counts, int64_t block_pitch, int64_t blocks, int64_t rows,
                        const uint16_t* limit, const uint32_t* flip, uint32_t* out,
                        int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t block = 0; block < blocks; ++block) {
      const uint16_t* in = counts + block * block_pitch + row * kGrowth;
      const uint16_t* t = limit + block * kGrowth;
      uint32_t* to = out + row * out_pitch + 2 * block;
      to[0] =
          _mm512_cmple_epu16_mask(_mm512_loadu_si512(in), _mm512_loadu_si512(t)) ^ flip[2 * block];
      to[1] = _mm512_cmple_epu16_mask(_mm512_loadu_si512(in + 32), _mm512_loadu_si512(t + 32)) ^
              flip[2 * block + 1];
    }
  }
}

// r[i] lane j <-> r[j] lane i
BNN_INLINE void transpose_16x16(__m512 (&r)[16]) {
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    for (int k = 0; k < 2; ++k) {
      const __m512d a = _mm512_castps_pd(t[i + k]), b = _mm512_castps_pd(t[i + 2 + k]);
      r[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      r[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  // r[4 i + k] now holds, in 128-bit lane q, rows 4 i .. 4 i + 3 of column 4 q + k.
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const __m512 a = _mm512_shuffle_f32x4(r[k], r[4 + k], 0x88),
                 b = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0x88);
    const __m512 c = _mm512_shuffle_f32x4(r[k], r[4 + k], 0xdd),
                 d = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0xdd);
    t[k] = _mm512_shuffle_f32x4(a, b, 0x88);
    t[8 + k] = _mm512_shuffle_f32x4(a, b, 0xdd);
    t[4 + k] = _mm512_shuffle_f32x4(c, d, 0x88);
    t[12 + k] = _mm512_shuffle_f32x4(c, d, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

BNN_INLINE __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : (1 << count) - 1);
}

void transpose_avx512(const float* x, int64_t x_pitch, int64_t rows, int64_t columns, float* y,
                      int64_t y_pitch) {
  for (int64_t row = 0; row < rows; row += 16) {
    for (int64_t column = 0; column < columns; column += 16) {
      const __mmask16 in = first_lanes(columns - column), out = first_lanes(rows - row);
      __m512 r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        r[i] = row + i < rows ? _mm512_maskz_loadu_ps(in, x + (row + i) * x_pitch + column)
                              : _mm512_setzero_ps();
      }
      transpose_16x16(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (column + i < columns)
          _mm512_mask_storeu_ps(y + (column + i) * y_pitch + row, out, r[i]);
      }
    }
  }
}

void unpack_counts_avx512(const uint16_t* counts, int64_t rows, int32_t total, float* y,
                          int64_t y_pitch) {
  const __m512i all = _mm512_set1_epi32(total);
  for (int64_t channel = 0; channel < kGrowth; channel += 16) {
    for (int64_t row = 0; row < rows; row += 16) {
      const __mmask16 out = first_lanes(rows - row);
      __m512 r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        const int64_t from = row + i < rows ? row + i : rows - 1;
        const void* in = counts + from * kGrowth + channel;
        const __m512i m =
            _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(in)));
        r[i] = _mm512_cvtepi32_ps(_mm512_sub_epi32(all, _mm512_add_epi32(m, m)));
      }
      transpose_16x16(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        _mm512_mask_storeu_ps(y + (channel + i) * y_pitch + row, out, r[i]);
    }
  }
}

// ---- counting mismatches ----

// Words of a chain (a column of the window), rounded up to pairs; the odd one repeats its
// predecessor.
BNN_INLINE int64_t chain_words(int64_t words) { return (3 * words + 1) / 2 * 2; }
BNN_INLINE int64_t band_rows(int64_t width) {
  return width % 2 == 0 ? 1 : 2;
}  // an even number of pixels

bool suits_all(int64_t, int64_t, int64_t) { return true; }

size_t weight_bytes_prefix(int64_t words) {
  return static_cast<size_t>(3 * chain_words(words) * kGrowth) * sizeof(uint32_t);
}

size_t scratch_bytes_prefix(int64_t words, int64_t, int64_t width) {
  return static_cast<size_t>(band_rows(width) * (width + 2) * chain_words(words)) *
         sizeof(uint32_t);
}

void pack_weights_prefix(const uint32_t* weight, int64_t words, void* packed) {
  uint32_t* out =
      static_cast<uint32_t*>(packed);  // [dx][dy, word][64], running exclusive-or along dy, word
  const int64_t chain = chain_words(words);
  for (int64_t dx = 0; dx < 3; ++dx) {
    for (int64_t output = 0; output < kGrowth; ++output) {
      uint32_t running = 0;
      for (int64_t k = 0; k < chain; ++k) {
        const int64_t dy = k / words;
        if (dy < 3) running ^= weight[((output * 3 + dy) * 3 + dx) * words + k % words];
        out[(dx * chain + k) * kGrowth + output] = running;
      }
    }
  }
}

// Replaces each pixel's words by their running exclusive-or.
void run_along_words(uint32_t* map, int64_t pixels, int64_t words) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    uint32_t running = 0;
    for (int64_t i = 0; i < words; ++i) {
      running ^= map[i];
      map[i] = running;
    }
    map += words;
  }
}

// out[k] = in[k] ^ with; may write up to 15 words behind, which the next call overwrites.
BNN_INLINE void copy_xor(const uint32_t* in, uint32_t with, int64_t words, uint32_t* out) {
  const __m512i all = _mm512_set1_epi32(static_cast<int>(with));
  for (int64_t i = 0; i < words; i += 16) {
    _mm512_storeu_si512(out + i, _mm512_xor_si512(_mm512_loadu_si512(in + i), all));
  }
}

// One row of chains from three rows of the map whose pixels hold running words: [width + 2][chain].
void make_chains(const uint32_t* map, int64_t pixels, int64_t words, uint32_t* chains) {
  const int64_t row = pixels * words;
  for (int64_t x = 0; x < pixels; ++x) {
    const uint32_t* in = map + x * words;
    const uint32_t first = in[words - 1];
    const uint32_t second = first ^ in[row + words - 1];
    copy_xor(in, 0, words, chains);
    copy_xor(in + row, first, words, chains + words);
    copy_xor(in + 2 * row, second, words, chains + 2 * words);
    if (words % 2 != 0) chains[3 * words] = second ^ in[2 * row + words - 1];
    chains += chain_words(words);
  }
}

// Counts `pixels` (1 or 2) pixels x 64 outputs. chains[p]: the chain of the window's left column.
BNN_INLINE void prefix_tile(const uint32_t* const (&chains)[2], const uint32_t* weights,
                            int64_t chain, uint16_t* const (&counts)[2], bool add,
                            const int pixels) {
  __m512i carries[2][4], ones[2][4];
#pragma GCC unroll 2
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) carries[p][v] = ones[p][v] = _mm512_setzero_si512();
  }
  for (int64_t dx = 0; dx < 3; ++dx) {
    __m512i last[2][4];
#pragma GCC unroll 2
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) last[p][v] = _mm512_setzero_si512();
    }
    const uint32_t* x[2] = {chains[0] + dx * chain, chains[1] + dx * chain};
    for (int64_t k = 0; k < chain; k += 2) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const __m512i w0 = _mm512_loadu_si512(weights + v * 16);
        const __m512i w1 = _mm512_loadu_si512(weights + kGrowth + v * 16);
#pragma GCC unroll 2
        for (int p = 0; p < pixels; ++p) {
          const __m512i p0 = _mm512_xor_si512(w0, _mm512_set1_epi32(static_cast<int>(x[p][k])));
          const __m512i p1 = _mm512_xor_si512(w1, _mm512_set1_epi32(static_cast<int>(x[p][k + 1])));
          const __m512i carry =
              _mm512_ternarylogic_epi32(p0, p1, last[p][v], 0x3a);  // p0 ? ~p1 : last
          carries[p][v] = _mm512_add_epi32(carries[p][v], _mm512_popcnt_epi32(carry));
          last[p][v] = p1;
        }
      }
      weights += 2 * kGrowth;
    }
#pragma GCC unroll 2
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v)
        ones[p][v] = _mm512_add_epi32(ones[p][v], _mm512_popcnt_epi32(last[p][v]));
    }
  }
#pragma GCC unroll 2
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const __m512i m =
          _mm512_add_epi32(_mm512_add_epi32(carries[p][v], carries[p][v]), ones[p][v]);
      __m256i* out = reinterpret_cast<__m256i*>(counts[p] + v * 16);
      __m256i m16 = _mm512_cvtepi32_epi16(m);
      if (add) m16 = _mm256_add_epi16(m16, _mm256_loadu_si256(out));
      _mm256_storeu_si256(out, m16);
    }
  }
}

void count_prefix_avx512(const CountJob& job) {
  const int64_t across = job.width + 2, chain = chain_words(job.words);
  const uint32_t* weights = static_cast<const uint32_t*>(job.weights);
  uint32_t* chains = static_cast<uint32_t*>(job.scratch);
  run_along_words(job.map, (job.height + 2) * across, job.words);
  const int64_t band = band_rows(job.width);
  for (int64_t top = 0; top < job.height; top += band) {
    const int64_t rows = job.height - top < band ? job.height - top : band;
    for (int64_t y = 0; y < rows; ++y) {
      make_chains(job.map + (top + y) * across * job.words, across, job.words,
                  chains + y * across * chain);
    }
    uint16_t* counts = job.counts + top * job.width * kGrowth;
    const int64_t pixels = rows * job.width;
    for (int64_t pixel = 0; pixel < pixels; pixel += 2) {
      const uint32_t* from[2];
      uint16_t* to[2];
      for (int p = 0; p < 2; ++p) {
        const int64_t i = pixel + p < pixels ? pixel + p : pixel;
        // Two rows at most; a row has two more chains.
        from[p] = chains + (i < job.width ? i : i + 2) * chain;
        to[p] = counts + i * kGrowth;
      }
      if (pixel + 1 < pixels) {
        prefix_tile(from, weights, chain, to, job.add, 2);
      } else {
        prefix_tile(from, weights, chain, to, job.add, 1);
      }
    }
  }
}

const CountFamily kFamilies[] = {{"popcount", suits_all, weight_bytes_prefix, pack_weights_prefix,
                                  scratch_bytes_prefix, count_prefix_avx512}};

}  // namespace

const Kernels kAvx512Kernels = {
    "avx512",           "AVX512F AVX512BW AVX512VL AVX512_VBMI AVX512_VNNI AVX512_VPOPCNTDQ GFNI",
    pack_floats_avx512, pack_counts_avx512,
    transpose_avx512,   unpack_counts_avx512,
    kFamilies,          1,
    kAvx512Floats,      kAvx512Int8,
    kAvx2Resize,        &kAvx512Sliced};

}  // namespace bnn

BNN_TARGET_END
#endif
