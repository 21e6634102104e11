// Validates the records of prepared parts behind their header.
// A damaged part must not lead kernels outside the part or the workspace. The checks are cheap, so
// that every run can make them; weights, thresholds and taps are not looked at. Each returns NULL,
// or what is impossible.
#include "core/border.h"
#include "kernels/sliced/sliced.h"
#include "parts/floats.h"
#include "parts/stage.h"

namespace bnn {
namespace {

constexpr int32_t kMaxOutputs = 1 << 29;  // in a row or column, a flattened map included

bool between(int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; }

// Whether a block of `bytes` has room at an aligned offset for a * b * c * d
// items of `size` bytes.
bool inside(uint64_t bytes, uint64_t offset, uint64_t size, int64_t a, int64_t b = 1, int64_t c = 1,
            int64_t d = 1) {
  const int64_t factors[] = {a, b, c, d};
  for (const int64_t factor : factors) {
    if (factor < 0 || __builtin_mul_overflow(size, factor, &size)) return false;
  }
  return offset % BNN_ALIGNMENT == 0 && offset <= bytes && size <= bytes - offset;
}

bool is_shape(const int32_t (&shape)[3], int64_t channels, int64_t height, int64_t width) {
  return shape[0] == channels && shape[1] == height && shape[2] == width;
}

const char* check_pool(const PartHeader& header, const bnn_window& pool, int32_t height,
                       int32_t width, int32_t pool_height, int32_t pool_width, uint64_t scratch) {
  if (pool.kernel != 0 && check_window("pool", pool, height, width) != BNN_OK) return "pool";
  if (pool_height != window_outputs(pool, height) || pool_width != window_outputs(pool, width))
    return "shape";
  const int64_t floats = int64_t{width} + pool.padding_before + pool.padding_after + kMaxLanes;
  return inside(header.member_bytes, scratch, sizeof(float), floats) ? nullptr : "workspace";
}

const char* check_step(const PartHeader& header, const ConvolutionRecord& step,
                       const Kernels& kernels) {
  const int32_t in = step.channels_in, out = step.channels_out, groups = step.groups;
  const bool is_int8 = step.is_int8 != 0;
  if (is_int8 && step.cell_channels != kernels.int8.channels) return "packing";
  if (!between(in, 1, kMaxChannels) || !between(out, 1, kMaxChannels) ||
      !between(groups, 1, kMaxChannels) || in % groups != 0 || out % groups != 0 ||
      !between(step.kernel, 1, kMaxKernel) || !between(step.stride, 1, kMaxKernel) ||
      !between(step.before, 0, step.kernel - 1) || !between(step.out_height, 1, kMaxOutputs) ||
      !between(step.out_width, 1, kMaxOutputs) ||
      step.pitch % kMaxLanes != 0 ||  // the last tile of a row reads whole vectors
      step.pitch < round_up(step.out_width, kMaxLanes) + (step.kernel - 1) / step.stride ||
      step.tap_count != weight_count(step)) {
    return "shape";
  }
  if (step.stride == 1 && step.before + int64_t{step.in_width} > step.pitch) return "shape";
  if (step.outputs != block_outputs(step, kernels)) return "packing";
  const int64_t padded = groups * round_up(out / groups, step.outputs);
  return inside(header.bytes, step.weight, sizeof(float), padded, step.tap_count) &&
                 inside(header.bytes, step.bias, sizeof(float), padded) &&
                 (!is_int8 || (inside(header.bytes, step.scale, sizeof(float), padded) &&
                               inside(header.bytes, step.start, sizeof(int32_t), padded)))
             ? nullptr
             : "offset";
}

const char* check_record(const StemRecord& stem, const Kernels& kernels) {
  const PartHeader& header = stem.header;
  if (!between(stem.step_count, 1, kMaxConvolutions)) return "number of convolutions";
  int32_t shape[3] = {header.input[0], header.input[1], header.input[2]};
  for (int32_t i = 0; i < stem.step_count; ++i) {
    const ConvolutionRecord& step = stem.steps[i].convolution;
    if (!is_shape(shape, step.channels_in, step.in_height, step.in_width)) return "shape";
    const char* fault = check_step(header, step, kernels);
    if (fault != nullptr) return fault;
    shape[0] = step.channels_out;
    shape[1] = step.out_height;
    shape[2] = step.out_width;
    const bool last = i + 1 == stem.step_count;
    if (i == 0 && step.is_int8) return "arithmetic";
    if (!inside(header.member_bytes, stem.steps[i].ring, sizeof(float), ring_slots(stem, i) + 1,
                row_channels(step), step.stride, step.pitch) ||
        (step.is_int8 && step.stride != 1 &&
         !inside(header.member_bytes, stem.steps[i].cells, sizeof(uint32_t), row_channels(step),
                 step.in_width)) ||
        (!last && needs_row(stem.steps[i + 1].convolution) &&
         !inside(header.member_bytes, stem.steps[i].row, sizeof(float), rows_at_once(step),
                 shape[0], shape[2]))) {
      return "workspace";
    }
  }
  if (!is_shape(header.output, shape[0], stem.pool_height, stem.pool_width)) return "shape";
  const char* fault = check_pool(header, stem.pool, shape[1], shape[2], stem.pool_height,
                                 stem.pool_width, stem.scratch);
  if (fault != nullptr) return fault;
  if (!inside(header.member_bytes, stem.terms, sizeof(float), term_floats(stem)) ||
      (pools_registers(stem) &&
       (!inside(header.member_bytes, stem.tops, sizeof(float), 2, shape[0] / last_step(stem).groups,
                row_pitch(stem)) ||
        !inside(header.member_bytes, stem.above, sizeof(float), shape[0], row_pitch(stem))))) {
    return "workspace";
  }
  return inside(header.member_bytes, stem.ring, sizeof(float), pool_slots(stem), shape[0], shape[2])
             ? nullptr
             : "workspace";
}

const char* check_record(const TransitionRecord& transition, const Kernels& kernels) {
  const PartHeader& header = transition.header;
  const ConvolutionRecord& step = transition.convolution;
  const int64_t pooled = int64_t{transition.pool_height} * transition.pool_width;
  if (!between(transition.height, 1, kMaxSide) || !between(transition.width, 1, kMaxSide) ||
      !is_shape(header.input, step.channels_in, transition.height, transition.width) ||
      !is_shape(header.output, step.channels_out, transition.pool_height, transition.pool_width) ||
      step.out_height != 1 || step.out_width != pooled || step.kernel != 1 || step.stride != 1 ||
      transition.shuffle_groups < 1 || step.channels_in % transition.shuffle_groups != 0) {
    return "shape";
  }
  if (!inside(header.bytes, transition.scale, sizeof(float), step.channels_in) ||
      !inside(header.bytes, transition.shift, sizeof(float), step.channels_in)) {
    return "offset";
  }
  const char* fault = check_step(header, step, kernels);
  if (fault != nullptr) return fault;
  const bool is_int8 = step.is_int8 != 0;
  if (step.pitch % kMaxLanes != 0 ||  // panels are filled by whole vectors
      !inside(header.common_bytes, transition.planes, is_int8 ? 1 : sizeof(float), step.channels_in,
              step.pitch) ||
      !inside(header.member_bytes, transition.panel, sizeof(float), row_channels(step),
              is_int8 ? kernels.int8.pixels : kernels.floats.pixels) ||
      (is_int8 && !inside(header.member_bytes, transition.pooled, sizeof(float), step.pitch))) {
    return "workspace";
  }
  return check_pool(header, transition.pool, transition.height, transition.width,
                    transition.pool_height, transition.pool_width, transition.scratch);
}

const char* check_record(const HeadRecord& head, const Kernels&) {
  const PartHeader& header = head.header;
  if (head.channels < 1 || head.classes < 1 || head.pixels < 1 ||
      header.input[0] != head.channels ||
      int64_t{header.input[1]} * header.input[2] != head.pixels ||
      !is_shape(header.output, head.classes, 1, 1)) {
    return "shape";
  }
  const int64_t padded = round_up(head.classes, kDenseBlock);
  if (!inside(header.bytes, head.scale, sizeof(float), head.channels) ||
      !inside(header.bytes, head.shift, sizeof(float), head.channels) ||
      !inside(header.bytes, head.bias, sizeof(float), padded) ||
      (head.is_int8 ? !inside(header.bytes, head.weight, 1, padded, round_up(head.channels, 4)) ||
                          !inside(header.bytes, head.output_scale, sizeof(float), padded) ||
                          !inside(header.bytes, head.start, sizeof(int32_t), padded)
                    : !inside(header.bytes, head.weight, sizeof(float), padded, head.channels))) {
    return "offset";
  }
  if (head.is_int8 && !inside(header.member_bytes, head.levels, 1, round_up(head.channels, 4)))
    return "workspace";
  return inside(header.common_bytes, head.means, sizeof(float), head.channels) ? nullptr
                                                                               : "workspace";
}

// The lists of a bit-sliced layer: groups that follow each other and end with
// output 64.
const char* check_sliced_layer(const StageRecord& stage, const LayerRecord& layer,
                               const SlicedShape& shape, const SlicedPlaces& places) {
  const uint64_t bytes = stage.header.bytes;
  if (!inside(bytes, layer.lists, sizeof(SlicedLayer), 1)) return "offset";
  const SlicedLayer& lists = *at<SlicedLayer>(&stage, layer.lists);
  const int64_t channels = 32 * int64_t{layer.words};
  const int32_t planes = plane_count(kTaps * channels) - 1;
  if (!sliced_takes(channels) || lists.entry_count < 0 ||
      lists.sum_planes != (planes < kSumPlanesLeast ? kSumPlanesLeast : planes) ||
      (lists.overlapping != 0 && !can_overlap(shape, channels)) ||
      !between(lists.group_count, 1, kGroupsMost)) {
    return "lists";
  }
  int32_t first = 0, entries = 0;
  for (int32_t i = 0; i < lists.group_count; ++i) {
    const SlicedGroup& group = lists.groups[i];
    if (group.first != first || group.entries != entries ||
        !between(group.outputs, 2, kGroupMost) || !between(group.size, 4, kTaps * channels + 4) ||
        group_entries(group.outputs, group.size) > lists.entry_count - entries) {
      return "lists";
    }
    first += group.outputs;
    entries += static_cast<int32_t>(group_entries(group.outputs, group.size));
  }
  if (first != kGrowth || entries != lists.entry_count) return "lists";
  const uint64_t vector = static_cast<uint64_t>(shape.vector_bytes);
  if (!inside(bytes, layer.lists, sizeof(uint16_t),
              entries + static_cast<int64_t>(sizeof(SlicedLayer) / sizeof(uint16_t)))) {
    return "offset";
  }
  return layer.first_plane >= 0 && places.bits <= places.bytes &&
                 inside(places.bytes, places.bits, 1, layer.first_plane + channels,
                        plane_bytes(shape)) &&
                 inside(stage.header.member_bytes, places.elements, vector,
                        element_vectors(shape, channels))
             ? nullptr
             : "workspace";
}

const char* check_places(const StageRecord& stage, const SlicedShape& shape,
                         const SlicedPlaces& places) {
  const uint64_t member = stage.header.member_bytes;
  const uint64_t vector = static_cast<uint64_t>(shape.vector_bytes);
  if (!between(stage.count_planes, kSumPlanesLeast + 1, 16)) return "planes";
  return places.bytes <= kMaxBytes && places.bytes % BNN_ALIGNMENT == 0 &&
                 inside(member, places.thresholds, sizeof(float), stage.layer_count) &&
                 inside(member, places.planes, sizeof(void*), stage.layer_count) &&
                 inside(member, places.readers, sizeof(SlicedReader), stage.layer_count) &&
                 inside(member, places.base, vector, shape.vectors, 2, kSumPlanesMost + 1) &&
                 inside(member, places.map, sizeof(float),
                        shape.tiles.images > 1 ? shape.height * shape.width : 0) &&
                 inside(places.bytes, places.counts, 2 * vector, shape.vectors, kGrowth,
                        stage.count_planes)
             ? nullptr
             : "workspace";
}

// One way of running a bit-sliced stage.
const char* check_sliced(const StageRecord& stage, const SlicedShape& shape,
                         const SlicedPlaces& places) {
  const char* fault = check_places(stage, shape, places);
  const LayerRecord* layers = at<LayerRecord>(&stage, stage.layers);
  for (int32_t i = 0; fault == nullptr && i < stage.layer_count; ++i)
    fault = check_sliced_layer(stage, layers[i], shape, places);
  return fault;
}

const char* check_sliced(const StageRecord& stage, const Kernels& kernels) {
  if (!stage.is_sliced && stage.images == 0) return nullptr;
  if (kernels.sliced == nullptr) return "kernel family";
  SlicedShape shape;
  if (stage.is_sliced) {
    if (!make_sliced_shape(kernels.sliced->sizes, stage.height, stage.width, &shape))
      return "kernel family";
    if (stage.alone.bytes > stage.header.common_bytes) return "workspace";
    const char* fault = check_sliced(stage, shape, stage.alone);
    if (fault != nullptr) return fault;
  }
  if (stage.images == 0) return nullptr;
  if (!between(stage.images, 1, kTogether) || !between(stage.least, 1, stage.images) ||
      !between(stage.groups, 1, kTogether) || (stage.images > 1 && stage.padding == 0) ||
      !make_together_shape(stage, kernels, &shape)) {
    return "kernel family";
  }
  return check_sliced(stage, shape, stage.together);
}

const char* check_layer(const StageRecord& stage, const LayerRecord& layer,
                        const Kernels& kernels) {
  const uint64_t bytes = stage.header.bytes, member = stage.header.member_bytes;
  if (!between(layer.blocks, 0, stage.block_count) ||
      !between(layer.target, 0, stage.block_count - 1) ||
      layer.words != stage.channels_in / 32 + 2 * layer.blocks) {
    return "shape";
  }
  if (!between(layer.family, 0, kernels.family_count - 1)) return "kernel family";
  const CountFamily& family = kernels.families[layer.family];
  if (!inside(bytes, layer.threshold, sizeof(float), stage.channels_in) ||
      !inside(bytes, layer.limit, sizeof(uint16_t), layer.blocks, kGrowth) ||
      !inside(bytes, layer.flip, sizeof(uint32_t), layer.words) ||
      (!stage.is_sliced && !inside(bytes, layer.weights, family.weight_bytes(layer.words), 1)) ||
      !inside(bytes, layer.correction, sizeof(int16_t), kBorderClasses, kGrowth)) {
    return "offset";
  }
  if (stage.is_sliced) return nullptr;
  const int64_t map = int64_t{stage.height + 2} * (stage.width + 2) * layer.words * 4 + kSlack;
  const size_t scratch = family.scratch_bytes(layer.words, stage.height, stage.width) + kSlack;
  return inside(member, stage.map, 1, map) && inside(member, stage.scratch, scratch, 1)
             ? nullptr
             : "workspace";
}

// What follows from the order of the layers, as parts/stage_prepare.cpp lays it down.
const char* check_order(const StageRecord& stage) {
  const LayerRecord* layers = at<LayerRecord>(&stage, stage.layers);
  const int32_t* totals = at<int32_t>(&stage, stage.totals);
  int64_t blocks = 0, total = 0, largest = 0, channels_read = 0;
  for (int32_t i = 0; i < stage.layer_count; ++i) {
    const LayerRecord& layer = layers[i];
    const bool improves = layer.is_improvement != 0;
    const int64_t channels = 32 * int64_t{layer.words};
    if (layer.blocks != blocks || layer.target != blocks - (improves ? 1 : 0)) return "order";
    if (!improves) ++blocks;
    total = kTaps * channels + (improves ? total : 0);
    if (total > kMaxCount) return "count";
    if (total > largest) largest = total;
    const bool is_final = i + 1 == stage.layer_count || layers[i + 1].is_improvement == 0;
    if (layer.target < 0 || (is_final && totals[layer.target] != total)) return "total";
    if (layer.first_plane != channels_read) return "workspace";
    channels_read += channels;
  }
  if (blocks != stage.block_count) return "order";
  return stage.count_planes != pooled_planes(plane_count(largest)) ? "planes" : nullptr;
}

const char* check_record(const StageRecord& stage, const Kernels& kernels) {
  const PartHeader& header = stage.header;
  const int64_t channels = stage.channels_in, pixels = int64_t{stage.height} * stage.width;
  if (!between(channels, 32, kMaxChannels) || channels % 32 != 0 ||
      !between(stage.height, 1, kMaxSide) || !between(stage.width, 1, kMaxSide) ||
      !between(stage.padding, -1, 1) || !between(stage.layer_count, 1, kMaxLayers) ||
      !between(stage.block_count, 1, stage.layer_count) ||
      !is_shape(header.input, channels, stage.height, stage.width) ||
      !is_shape(header.output, channels + int64_t{stage.block_count} * kGrowth, stage.height,
                stage.width)) {
    return "shape";
  }
  if (!inside(header.bytes, stage.layers, sizeof(LayerRecord), stage.layer_count) ||
      !inside(header.bytes, stage.totals, sizeof(int32_t), stage.block_count)) {
    return "offset";
  }
  if (!stage.is_sliced &&
      (!inside(header.common_bytes, stage.input_bits, sizeof(uint32_t), stage.layer_count, pixels,
               channels / 32) ||
       !inside(header.member_bytes, stage.tile, sizeof(float), kTransposeRows, channels) ||
       !inside(header.common_bytes, stage.counts, sizeof(uint16_t), stage.block_count, pixels,
               kGrowth))) {
    return "workspace";
  }
  const LayerRecord* layers = at<LayerRecord>(&stage, stage.layers);
  for (int32_t i = 0; i < stage.layer_count; ++i) {
    const char* fault = check_layer(stage, layers[i], kernels);
    if (fault != nullptr) return fault;
  }
  const char* fault = check_sliced(stage, kernels);
  return fault != nullptr ? fault : check_order(stage);
}

template <typename Record>
const char* check_as(const void* part, const Kernels& kernels) {
  const Record& record = *static_cast<const Record*>(part);
  return record.header.bytes < sizeof record ? "size" : check_record(record, kernels);
}

}  // namespace

const char* check_part(const void* part, const Kernels& kernels) {
  switch (static_cast<const PartHeader*>(part)->kind) {
    case Kind::kStem:
      return check_as<StemRecord>(part, kernels);
    case Kind::kStage:
      return check_as<StageRecord>(part, kernels);
    case Kind::kTransition:
      return check_as<TransitionRecord>(part, kernels);
    case Kind::kHead:
      return check_as<HeadRecord>(part, kernels);
  }
  return "kind";
}

}  // namespace bnn
