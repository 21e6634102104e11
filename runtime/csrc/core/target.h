// Opens and closes a region whose functions are compiled for a wider instruction set.
//
// A region is opened after all includes: inline code of headers then keeps the baseline instruction
// set, so that the linker can never hand a wide copy of it to a narrow caller, which happens with
// per-file -m flags.
#ifndef BNN_TARGET_H_
#define BNN_TARGET_H_

#define BNN_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define BNN_TARGET_BEGIN(features) \
  BNN_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define BNN_TARGET_END BNN_PRAGMA(clang attribute pop)
#else
#define BNN_TARGET_BEGIN(features) BNN_PRAGMA(GCC push_options) BNN_PRAGMA(GCC target(features))
#define BNN_TARGET_END BNN_PRAGMA(GCC pop_options)
#endif

#define BNN_INLINE static inline __attribute__((always_inline))
#define BNN_INLINE_MEMBER inline __attribute__((always_inline))

#endif  // BNN_TARGET_H_
