// Shapes of planes and prepared weights, which depend on no instruction set's code.
#include "kernels/sliced/sliced.h"

#include <string.h>

namespace bnn {
namespace {

int32_t best_group(const SlicedKernels& kernels, int64_t words) {
  return words <= kernels.sizes.four_words ? 4 : words <= kernels.sizes.five_words ? 5 : 6;
}

// Calls visit(index, first, plan) for the groups of a layer.
template <typename Visit>
int32_t plan_layer(const SlicedKernels& kernels, const uint32_t* weight, int64_t words,
                   Visit visit) {
  const int32_t most = best_group(kernels, words);
  const int32_t groups = (kGrowth + most - 1) / most;
  int32_t first = 0;
  for (int32_t i = 0; i < groups; ++i) {
    GroupPlan plan;
    plan_group(weight, words, first, (kGrowth - first + groups - i - 1) / (groups - i), &plan);
    visit(i, first, plan);
    first += plan.outputs;
  }
  return groups;
}

// See SlicedOutput. N ones in the weights; with m = A + N - 2 X, or with Y = A - X, the sum over
// zeros, ~m = A - (N + 1) - 2 Y. What of +N or -(N + 1) is even goes into the start of the sum.
SlicedOutput make_output(const uint32_t* weight, int64_t words, bool complement) {
  uint32_t ones = 0;
  for (int64_t i = 0; i < kTaps * words; ++i)
    ones += static_cast<uint32_t>(__builtin_popcount(weight[i]));
  const uint32_t start = complement ? ones / 2 + 1 : 0u - ones / 2;
  const bool odd = (ones % 2 != 0) != complement;
  return {static_cast<uint16_t>(start), static_cast<uint8_t>(odd),
          static_cast<uint8_t>(complement)};
}

SlicedShape place_rows(const SlicedSizes& sizes, int64_t height, int64_t width, int64_t row_bits) {
  const bool fits_half = height * row_bits <= 8 * sizes.half;
  const int32_t vector_bytes = fits_half ? sizes.half : sizes.full;
  const int64_t rows = 8 * vector_bytes / row_bits;
  return {static_cast<int32_t>(height), static_cast<int32_t>(width), static_cast<int32_t>(row_bits),
          static_cast<int32_t>((height + rows - 1) / rows), vector_bytes};
}

}  // namespace

bool make_sliced_shape(const SlicedSizes& sizes, int64_t height, int64_t width,
                       SlicedShape* shape) {
  if (width > 64 || height > 8 * kPlaneBytesMost) return false;
  *shape = place_rows(sizes, height, width, width <= 16 ? 16 : width <= 32 ? 32 : 64);
  if (width >= kCloseWidthLeast) {
    const SlicedShape close = place_rows(sizes, height, width, width + width % 2);
    if (plane_bytes(close) < plane_bytes(*shape) && plane_bytes(close) <= kCloseBytesMost)
      *shape = close;
  }
  return plane_bytes(*shape) <= kPlaneBytesMost;
}

bool make_tiled_shape(int32_t vector_bytes, int32_t row_bits, int32_t height, int32_t width,
                      SlicedShape* shape) {
  *shape = {height, width, row_bits, 1, vector_bytes};
  // A row stays free where elements can overlap.
  const int32_t rows = 8 * vector_bytes / row_bits - (has_overlapping_rows(*shape) ? 1 : 0);
  if (height > rows || width > row_bits || width < 3) return false;
  SlicedTiles tiles = {0, 0, height, width, (height + 2) / 2 * 2, (width + 2) / 2 * 2};
  tiles.columns = (row_bits - width) / tiles.column_pitch + 1;
  if (tiles.columns > kTogether) tiles.columns = kTogether;
  const int32_t lines = (rows - height) / tiles.row_pitch + 1;
  tiles.images = 1;  // a power of two, as batches are
  while (2 * tiles.images <= lines * tiles.columns && tiles.images < kTogether) tiles.images *= 2;
  const int32_t used = (tiles.images + tiles.columns - 1) / tiles.columns;
  shape->height = (used - 1) * tiles.row_pitch + height;
  shape->width = (tiles.columns - 1) * tiles.column_pitch + width;
  shape->tiles = tiles;
  return tiles.images > 1;
}

bool make_stacked_shape(const SlicedSizes& sizes, int32_t images, int32_t height, int32_t width,
                        SlicedShape* shape) {
  const int32_t pitch = (height + 2) / 2 * 2, rows = (images - 1) * pitch + height;
  if (width < 3 || width > 64) return false;
  *shape = place_rows(sizes, rows, width, width <= 16 ? 16 : width <= 32 ? 32 : 64);
  if (width >= kCloseWidthLeast) {
    const SlicedShape close = place_rows(sizes, rows, width, width + width % 2);
    if (plane_bytes(close) < plane_bytes(*shape)) *shape = close;
  }
  shape->tiles = {images, 1, height, width, pitch, (width + 2) / 2 * 2};
  return plane_bytes(*shape) <= kCloseBytesMost;
}

const SlicedVectors& sliced_vectors(const SlicedKernels& kernels, const SlicedShape& shape) {
  return shape.vector_bytes == kernels.full.bytes ? kernels.full : *kernels.half;
}

size_t sliced_layer_bytes(const SlicedKernels& kernels, const uint32_t* weight, int64_t words) {
  int64_t entries = 0;
  plan_layer(kernels, weight, words, [&](int32_t, int32_t, const GroupPlan& plan) {
    entries += group_entries(plan.outputs, plan.size);
  });
  return sizeof(SlicedLayer) + static_cast<size_t>(entries) * sizeof(uint16_t);
}

bool has_overlapping_rows(const SlicedShape& shape) {
  return shape.vectors == 1 && shape.height < 16 && shape.vector_bytes == 2 * shape.row_bits &&
         (shape.vector_bytes == 32 || shape.vector_bytes == 64);
}

bool can_overlap(const SlicedShape& shape, int64_t channels) {
  return has_overlapping_rows(shape) && overlapping_order(channels).later <= UINT16_MAX / 2;
}

void write_sliced_layer(const SlicedKernels& kernels, const SlicedShape& shape,
                        const uint32_t* weight, int64_t words, SlicedLayer* layer) {
  const int64_t channels = 32 * words;
  const int32_t planes = plane_count(kTaps * channels) - 1;
  layer->sum_planes = planes < kSumPlanesLeast ? kSumPlanesLeast : planes;
  uint16_t* entries = reinterpret_cast<uint16_t*>(layer + 1);
  const auto write = [&](const ElementOrder& order) {
    bool fits = true;
    layer->entry_count = 0;
    layer->group_count =
        plan_layer(kernels, weight, words, [&](int32_t i, int32_t first, const GroupPlan& plan) {
          layer->groups[i] = {first, plan.outputs, plan.size, layer->entry_count};
          fits &= write_group(weight, words, first, plan, order, entries + layer->entry_count);
          layer->entry_count += static_cast<int32_t>(group_entries(plan.outputs, plan.size));
          for (int32_t k = 0; k < plan.outputs; ++k) {
            layer->outputs[first + k] = make_output(weight + (first + k) * kTaps * words, words,
                                                    ((plan.mask >> k) & 1) != 0);
          }
        });
    return fits;
  };
  layer->overlapping = can_overlap(shape, channels) && write(overlapping_order(channels));
  if (!layer->overlapping) write(element_order(channels, layer->sum_planes));
}

}  // namespace bnn
