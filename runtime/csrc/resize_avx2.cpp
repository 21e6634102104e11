// Resampling on AVX2: two multiplications of pairs (VPMADDWD) for two neighbours in eight sums.
#include <string.h>

#include "resize.h"
#include "target.h"

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

void across_avx2(const AcrossJob& job) {
  const __m128i neighbours = _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
  const int16_t* taps = job.taps;
  for (int64_t column = 0; column < job.columns; ++column) {
    const int64_t start = int64_t{job.first[column]} * kPixelBytes;
    const uint8_t *one = job.rows[0] + start, *other = job.rows[1] + start;
    Sums sums = begin();
    for (int64_t pair = 0; pair < job.pairs; ++pair, taps += kPairSize) {
      const __m128i both =
          _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(one)),
                             _mm_loadl_epi64(reinterpret_cast<const __m128i*>(other)));
      add_pair(&sums, _mm_shuffle_epi8(both, neighbours), load_pair(taps));
      one += 2 * kPixelBytes;
      other += 2 * kPixelBytes;
    }
    const __m256i levels = finish(sums);  // one row in each half
    const __m256i words = _mm256_packs_epi32(levels, levels);
    const __m256i bytes = _mm256_packus_epi16(words, words);
    const int32_t first = _mm_cvtsi128_si32(_mm256_castsi256_si128(bytes));
    const int32_t second = _mm_cvtsi128_si32(_mm256_extracti128_si256(bytes, 1));
    memcpy(job.out[0] + column * kPixelBytes, &first, kPixelBytes);
    memcpy(job.out[1] + column * kPixelBytes, &second, kPixelBytes);
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
