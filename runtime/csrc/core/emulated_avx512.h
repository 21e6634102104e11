// AVX-512 on AVX2 for self-tests.
// These are SIMDe's portable intrinsics under Intel's names, and the few that SIMDe lacks.
//
// Only with the CMake option BNN_EMULATE_AVX512. An intrinsic that is neither in SIMDe nor here is
// the compiler's own, which a file without AVX-512 cannot inline: an error, never a wide
// instruction.
#ifndef BNN_EMULATED_AVX512_H_
#define BNN_EMULATED_AVX512_H_

#include <stdint.h>
#include <string.h>

#include "core/target.h"

#if !defined(__AVX2__) || !defined(__FMA__)
#error "expected -mavx2 -mfma: without them SIMDe's multiply-add rounds twice"
#endif
#if defined(__AVX512F__)
#error "expected no AVX-512: SIMDe would hand its intrinsics on to the CPU"
#endif

// Ternary logic is a function then: inlined, it makes compiling three times as long.
#define SIMDE_CONSTRAINED_COMPILATION
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>
#include <simde/x86/gfni.h>

// The whole file is compiled for AVX2; a region that names AVX-512 would bring it back.
#undef BNN_TARGET_BEGIN
#undef BNN_TARGET_END
#define BNN_TARGET_BEGIN(features)
#define BNN_TARGET_END

#undef _mm512_shuffle_f32x4  // SIMDe has it, not its alias
#define _mm512_shuffle_f32x4(a, b, imm8) simde_mm512_shuffle_f32x4(a, b, imm8)

// After Intel's description of each operation, lane by lane; a lane that a mask leaves out is not
// touched in memory.

BNN_INLINE __m512 emulated_maskz_loadu_ps(__mmask16 mask, const void* from) {
  float lanes[16] = {};
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0)
      memcpy(&lanes[i], static_cast<const float*>(from) + i, sizeof lanes[i]);
  }
  return _mm512_loadu_ps(lanes);
}
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps(mask, from) emulated_maskz_loadu_ps(mask, from)

BNN_INLINE void emulated_mask_storeu_ps(void* to, __mmask16 mask, __m512 x) {
  float lanes[16];
  _mm512_storeu_ps(lanes, x);
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) memcpy(static_cast<float*>(to) + i, &lanes[i], sizeof lanes[i]);
  }
}
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps(to, mask, x) emulated_mask_storeu_ps(to, mask, x)

BNN_INLINE __m512 emulated_cvtepi32_ps(__m512i x) {
  int32_t from[16];
  float to[16];
  _mm512_storeu_si512(from, x);
  for (int i = 0; i < 16; ++i) to[i] = static_cast<float>(from[i]);
  return _mm512_loadu_ps(to);
}
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps(x) emulated_cvtepi32_ps(x)

BNN_INLINE __m512i emulated_cvtepu16_epi32(__m256i x) {
  uint16_t from[16];
  uint32_t to[16];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(from), x);
  for (int i = 0; i < 16; ++i) to[i] = from[i];
  return _mm512_loadu_si512(to);
}
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32(x) emulated_cvtepu16_epi32(x)

BNN_INLINE __m256i emulated_cvtepi32_epi16(__m512i x) {  // truncates
  uint32_t from[16];
  uint16_t to[16];
  _mm512_storeu_si512(from, x);
  for (int i = 0; i < 16; ++i) to[i] = static_cast<uint16_t>(from[i]);
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(to));
}
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16(x) emulated_cvtepi32_epi16(x)

BNN_INLINE __m128i emulated_cvtepi32_epi8(__m512i x) {  // truncates
  uint32_t from[16];
  uint8_t to[16];
  _mm512_storeu_si512(from, x);
  for (int i = 0; i < 16; ++i) to[i] = static_cast<uint8_t>(from[i]);
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(to));
}
#undef _mm512_cvtepi32_epi8
#define _mm512_cvtepi32_epi8(x) emulated_cvtepi32_epi8(x)

BNN_INLINE __m512i emulated_cvtepu8_epi32(__m128i x) {
  uint8_t from[16];
  uint32_t to[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(from), x);
  for (int i = 0; i < 16; ++i) to[i] = from[i];
  return _mm512_loadu_si512(to);
}
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32(x) emulated_cvtepu8_epi32(x)

BNN_INLINE __m512i emulated_cvtps_epi32(__m512 x) {  // half to even
  float from[16];
  int32_t to[16];
  _mm512_storeu_ps(from, x);
  for (int i = 0; i < 16; ++i) to[i] = _mm_cvtss_si32(_mm_set_ss(from[i]));
  return _mm512_loadu_si512(to);
}
#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32(x) emulated_cvtps_epi32(x)

#endif  // BNN_EMULATED_AVX512_H_
