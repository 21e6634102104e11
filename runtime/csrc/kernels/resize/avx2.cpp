// Resampling on AVX2: two multiplications of pairs (VPMADDWD) for two neighbours in eight sums.
#include <string.h>

#include "core/target.h"
#include "kernels/resize/resize.h"

#if defined(__x86_64__)
#include <immintrin.h>

BNN_TARGET_BEGIN("avx2,fma")

namespace bnn {
namespace {

// Eight sums, in halves as the coefficients are.
struct Sums {
  __m256i low, high;
};

BNN_INLINE Sums begin() {
  return {_mm256_set1_epi32(1 << (kResizeBits - 1)), _mm256_setzero_si256()};
}

struct Pair {
  __m256i low, high;
};

BNN_INLINE Pair load_pair(const int16_t* taps) {
  int32_t halves[2];
  memcpy(halves, taps, sizeof halves);
  return {_mm256_set1_epi32(halves[0]), _mm256_set1_epi32(halves[1])};
}

// bytes: eight times the two neighbours
BNN_INLINE void add_pair(Sums* sums, __m128i bytes, const Pair& pair) {
  const __m256i levels = _mm256_cvtepu8_epi16(bytes);
  sums->low = _mm256_add_epi32(sums->low, _mm256_madd_epi16(levels, pair.low));
  sums->high = _mm256_add_epi32(sums->high, _mm256_madd_epi16(levels, pair.high));
}

BNN_INLINE __m256i finish(const Sums& sums) {
  const __m256i whole = _mm256_add_epi32(sums.low, _mm256_slli_epi32(sums.high, kLowBits));
  return _mm256_srai_epi32(whole, kResizeBits);
}

BNN_INLINE __m128i load(const uint8_t* bytes) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

// Two pixels of two rows -> each byte beside the one of the other pixel.
BNN_INLINE __m128i load_neighbours(const uint8_t* row, const uint8_t* other) {
  const __m128i pixels =
      _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row)),
                         _mm_loadl_epi64(reinterpret_cast<const __m128i*>(other)));
  return _mm_shuffle_epi8(pixels,
                          _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
}

// Inlined with a constant number of pairs: a loop around it would cost as much as the sums.
BNN_INLINE void across_columns(const AcrossJob& job, const int64_t pairs) {
  const int16_t* taps = job.taps;
  for (int64_t column = 0; column < job.columns; ++column) {
    const int64_t start = int64_t{job.first[column]} * kPixelBytes;
    Sums front = begin(), back = begin();
    for (int64_t pair = 0; pair < pairs; ++pair, taps += kPairSize) {
      const Pair factors = load_pair(taps);
      const int64_t at = start + pair * 2 * kPixelBytes;
      add_pair(&front, load_neighbours(job.rows[0] + at, job.rows[1] + at), factors);
      add_pair(&back, load_neighbours(job.rows[2] + at, job.rows[3] + at), factors);
    }
    // Rows 0 and 2 in one half, 1 and 3 in the other.
    const __m256i words = _mm256_packs_epi32(finish(front), finish(back));
    const __m256i bytes = _mm256_packus_epi16(words, words);
    const int64_t even = _mm_cvtsi128_si64(_mm256_castsi256_si128(bytes));
    const int64_t odd = _mm_cvtsi128_si64(_mm256_extracti128_si256(bytes, 1));
    const int64_t pixels[2] = {even, odd};
    for (int i = 0; i < kRowsTogether; ++i) {
      const uint32_t pixel = static_cast<uint32_t>(pixels[i % 2] >> (i / 2 * 32));
      memcpy(job.out[i] + column * kPixelBytes, &pixel, kPixelBytes);
    }
  }
}

void across_avx2(const AcrossJob& job) {
  switch (job.pairs) {
    case 1:
      return across_columns(job, 1);
    case 2:
      return across_columns(job, 2);
    case 3:
      return across_columns(job, 3);
    case 4:
      return across_columns(job, 4);
    default:
      return across_columns(job, job.pairs);
  }
}

void down_avx2(const DownJob& job) {
  for (int64_t next = 0; next < job.bytes; next += kRowBytes) {
    const int64_t start =
        next + kRowBytes <= job.bytes ? next : job.bytes - kRowBytes;  // the last: again
    Sums sums[4] = {begin(), begin(), begin(), begin()};
    for (int64_t pair = 0; pair < job.pairs; ++pair) {
      const Pair factors = load_pair(job.taps + pair * kPairSize);
      for (int half = 0; half < 2; ++half) {
        const __m128i above = load(job.rows[2 * pair] + start + 16 * half);
        const __m128i below = load(job.rows[2 * pair + 1] + start + 16 * half);
        add_pair(&sums[2 * half], _mm_unpacklo_epi8(above, below), factors);
        add_pair(&sums[2 * half + 1], _mm_unpackhi_epi8(above, below), factors);
      }
    }
    // Packing goes by halves of a vector: lanes 0, 2, 1, 3 of four bytes twice over.
    const __m256i front = _mm256_packs_epi32(finish(sums[0]), finish(sums[1]));
    const __m256i back = _mm256_packs_epi32(finish(sums[2]), finish(sums[3]));
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(front, back),
                                                      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(job.out + start), bytes);
  }
}

}  // namespace

const ResizeKernels kAvx2Resize = {across_avx2, down_avx2};

}  // namespace bnn

BNN_TARGET_END
#endif
