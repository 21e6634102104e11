// The rules by which an implementation and a kernel family are chosen.
#include "kernels/choice.h"

#include <string.h>

namespace bnn {
namespace {

constexpr uint32_t kAvx512Features = kAvx2 | kFma | kAvx512F | kAvx512Bw | kAvx512Vl | kAvx512Vbmi |
                                     kAvx512Vnni | kAvx512Vpopcntdq | kGfni;

// Best first. A new implementation is one line here and one in kernels/dispatch.cpp.
const ImplementationRule kRules[] = {
    {"avx512", Machine::kX86, kAvx512Features, &kAvx512Sizes},
    {"avx2", Machine::kX86, kAvx2 | kFma, &kAvx2Sizes},
    {"neon_dot", Machine::kArm, kDotProducts, &kNeonSizes},
    {"neon", Machine::kArm, 0, &kNeonSizes},  // Advanced SIMD is part of the baseline
    {"generic", Machine::kOther, 0, nullptr},
};

}  // namespace

const ImplementationRule* choose_implementation(Machine machine, uint32_t features,
                                                const char* name) {
  for (const ImplementationRule& rule : kRules) {
    if (name != nullptr && strcmp(rule.name, name) != 0) continue;
    const bool is_of_machine = rule.machine == machine || rule.machine == Machine::kOther;
    if (is_of_machine && (rule.features & ~features) == 0) return &rule;
  }
  return nullptr;
}

bool parse_force(const char* text, Force* force) {
  *force = Force::kNone;
  if (text == nullptr || text[0] == '\0') return true;
  if (strcmp(text, "popcount") == 0) *force = Force::kPopcount;
  if (strcmp(text, "sliced") == 0) *force = Force::kSliced;
  return *force != Force::kNone;
}

bool choose_sliced(const SlicedSizes* sizes, const StageShape& stage, Force force,
                   SlicedShape* shape) {
  if (force == Force::kPopcount || sizes == nullptr) return false;
  if (!make_sliced_shape(*sizes, stage.height, stage.width, shape)) return false;
  if (!sliced_takes(stage.widest)) return false;
  if (force == Force::kSliced) return true;
  const int64_t lanes = int64_t{8} * shape->vectors * shape->vector_bytes;
  const int64_t used = int64_t{stage.height} * stage.width;
  const bool is_full = shape->vector_bytes == sizes->full;
  return stage.widest <= sizes->widest &&
         100 * used >= (is_full ? sizes->least_full : sizes->least_half) * lanes;
}

bool choose_tiles(const SlicedSizes* sizes, const StageShape& stage, Force force,
                  const SlicedShape* alone, SlicedShape* shape) {
  if (force == Force::kPopcount || sizes == nullptr || !sliced_takes(stage.widest)) return false;
  if (stage.widest > sizes->widest && force != Force::kSliced) return false;
  int64_t most = sizes->tile_eighths, of = 8;  // positions that are used, of all: at least
  bool found = false;
  const int32_t vector_bytes[] = {sizes->half, sizes->full}, rows[] = {16, 32};
  for (const int32_t bytes : vector_bytes) {
    for (const int32_t row_bits : rows) {
      SlicedShape tiled;
      if (bytes == 0 || !make_tiled_shape(bytes, row_bits, stage.height, stage.width, &tiled)) {
        continue;
      }
      if (alone != nullptr && has_overlapping_rows(*alone) != has_overlapping_rows(tiled)) continue;
      const int64_t used = int64_t{tiled.tiles.images} * stage.height * stage.width;
      if (used * of < most * 8 * bytes || (found && used * of == most * 8 * bytes)) continue;
      most = used;
      of = 8 * int64_t{bytes};
      *shape = tiled;
      found = true;
    }
  }
  return found;
}

bool choose_stack(const SlicedSizes& sizes, const StageShape& stage, const SlicedShape& alone,
                  SlicedShape* shape) {
  const int64_t one = plane_bytes(alone);
  int64_t fewest = kTogether * one * 15 / 16 + 1;
  for (int32_t images = 2; images <= kTogether; ++images) {
    SlicedShape stacked;
    if (!make_stacked_shape(sizes, images, stage.height, stage.width, &stacked)) continue;
    const int64_t bytes = kTogether / images * plane_bytes(stacked) + kTogether % images * one;
    if (bytes >= fewest || has_overlapping_rows(stacked) != has_overlapping_rows(alone)) continue;
    fewest = bytes;
    *shape = stacked;
  }
  return fewest <= kTogether * one * 15 / 16;
}

}  // namespace bnn
