// Validates the description of a stage and writes the prepared stage.
// Thresholds become thresholds on counts, and weights are repacked.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/border.h"
#include "kernels/choice.h"
#include "kernels/sliced/sliced.h"
#include "parts/stage.h"

namespace bnn {
namespace {

// A produced channel has the value x = total - 2 * count with 0 <= count <= total. Finds limit and
// turn such that (x >= threshold) == (count <= limit) ^ turn. Exact: x is an integer, so x >= t is
// x >= ceil(t).
void make_limit(float threshold, int32_t total, uint16_t* limit, bool* turn) {
  const double lowest = ceil(static_cast<double>(threshold));
  *turn = false;
  if (lowest > total) {  // never
    *limit = static_cast<uint16_t>(kMaxCount);
    *turn = true;
  } else if (lowest <= -total) {  // always
    *limit = static_cast<uint16_t>(kMaxCount);
  } else {
    *limit = static_cast<uint16_t>((total - static_cast<int32_t>(lowest)) /
                                   2);  // both are > -total: no negatives
  }
}

int check_stage(const bnn_stage* stage) {
  if (check_pointer("bnn_stage", stage) != BNN_OK ||
      check_range("bnn_stage: channels_in", stage->channels_in, 32, kMaxChannels) != BNN_OK ||
      check_range("bnn_stage: height", stage->height, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_stage: width", stage->width, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_stage: growth", stage->growth, kGrowth, kGrowth) != BNN_OK ||
      check_range("bnn_stage: padding", stage->padding, -1, 1) != BNN_OK ||
      check_range("bnn_stage: layer_count", stage->layer_count, 1, kMaxLayers) != BNN_OK ||
      check_pointer("bnn_stage: layers", stage->layers) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (stage->channels_in % 32 != 0) {
    return fail(BNN_EARGUMENT, "bnn_stage: channels_in: expected a multiple of 32, found %d",
                stage->channels_in);
  }
  int32_t channels = stage->channels_in;
  int64_t total = 0;  // of the last block
  for (int32_t i = 0; i < stage->layer_count; ++i) {
    const bnn_binary_layer& layer = stage->layers[i];
    if (layer.channels != channels) {
      return fail(BNN_EARGUMENT, "bnn_stage: layer %d: expected %d channels, found %d", i, channels,
                  layer.channels);
    }
    if (check_pointer("bnn_stage: a layer's weight", layer.weight) != BNN_OK ||
        check_pointer("bnn_stage: a layer's threshold", layer.threshold) != BNN_OK ||
        check_pointer("bnn_stage: a layer's flip", layer.flip) != BNN_OK) {
      return BNN_EARGUMENT;
    }
    for (int32_t channel = 0; channel < channels; ++channel) {
      if (isnan(layer.threshold[channel])) {
        return fail(BNN_EARGUMENT,
                    "bnn_stage: layer %d: expected thresholds that are numbers or infinite, found "
                    "NaN at %d",
                    i, channel);
      }
    }
    if (layer.is_improvement != 0 && channels == stage->channels_in) {
      return fail(BNN_EARGUMENT,
                  "bnn_stage: layer %d improves channels that no dense layer produced", i);
    }
    total = int64_t{kTaps} * channels + (layer.is_improvement != 0 ? total : 0);
    if (total > kMaxCount) {
      return fail(BNN_EARGUMENT,
                  "bnn_stage: layer %d: expected counts up to %lld, found up to %lld", i,
                  static_cast<long long>(kMaxCount), static_cast<long long>(total));
    }
    if (layer.is_improvement == 0) channels += kGrowth;
    if (check_range("bnn_stage: channels of the stage", channels, 32, kMaxChannels) != BNN_OK)
      return BNN_EARGUMENT;
  }
  return BNN_OK;
}

int read_force(Force* force) {
  const char* name = getenv("BNN_FORCE_KERNEL");
  if (parse_force(name, force)) return BNN_OK;
  return fail(BNN_EUNSUPPORTED, "BNN_FORCE_KERNEL: expected popcount or sliced, found '%.40s'",
              name);
}

int32_t widest_layer(const bnn_stage& stage) {
  int32_t widest = 0;
  for (int32_t i = 0; i < stage.layer_count; ++i)
    widest = stage.layers[i].channels > widest ? stage.layers[i].channels : widest;
  return widest;
}

int choose_family(const Kernels& kernels, int64_t words, int64_t height, int64_t width) {
  int family = 0;
  while (!kernels.families[family].suits(words, height, width)) ++family;
  return family;
}

// Writes what one layer needs to read its channels: float thresholds for inputs, limits on counts
// for the rest.
void write_thresholds(const bnn_binary_layer& layer, const StageRecord& stage,
                      const LayerRecord& record, const int32_t* totals, void* part) {
  const int32_t inputs = stage.channels_in;
  memcpy(at<float>(part, record.threshold), layer.threshold,
         static_cast<size_t>(inputs) * sizeof(float));
  uint32_t* flip = at<uint32_t>(part, record.flip);
  memcpy(flip, layer.flip, static_cast<size_t>(record.words) * sizeof *flip);
  uint16_t* limit = at<uint16_t>(part, record.limit);
  for (int32_t i = 0; i < record.blocks * kGrowth; ++i) {
    bool turn;
    make_limit(layer.threshold[inputs + i], totals[i / kGrowth], &limit[i], &turn);
    if (turn) flip[(inputs + i) / 32] ^= 1u << ((inputs + i) % 32);
  }
}

// What one pass over the layers finds out.
struct Sizes {
  size_t part, scratch;
  int64_t list_bytes, list_limit;  // of all layers; beyond the limit popcount is faster
  int64_t channels_read;           // by all layers
  int32_t widest, largest;         // channels of a layer; count
};

// Weights of a bit-sliced layer at the next place, written if there is a part.
uint64_t place_lists(const Kernels& kernels, const SlicedShape& shape,
                     const bnn_binary_layer& layer, Layout* layout, void* part,
                     int64_t* list_bytes) {
  const int64_t words = layer.channels / 32;
  const size_t bytes = sliced_layer_bytes(*kernels.sliced, layer.weight, words);
  const uint64_t place = layout->take(1, bytes);
  *list_bytes += static_cast<int64_t>(bytes);
  if (part != nullptr) {
    write_sliced_layer(*kernels.sliced, shape, layer.weight, words, at<SlicedLayer>(part, place));
  }
  return place;
}

// Places the pieces of all layers behind those of `layout` and, if there is a part, writes them.
// Calls with the same record give the same places. `tiled`: of several images together.
Sizes place_layers(const bnn_stage& stage, const Kernels& kernels, const SlicedShape& shape,
                   const SlicedShape& tiled, const StageRecord& record, Layout layout, void* part) {
  Sizes sizes = {};
  int32_t blocks = 0, total = 0;
  for (int32_t i = 0; i < stage.layer_count; ++i) {
    const bnn_binary_layer& layer = stage.layers[i];
    LayerRecord place;
    memset(&place, 0, sizeof place);
    place.words = layer.channels / 32;
    place.blocks = blocks;
    place.is_improvement = layer.is_improvement != 0;
    place.target = place.is_improvement ? blocks - 1 : blocks;
    place.family = choose_family(kernels, place.words, stage.height, stage.width);
    const CountFamily& family = kernels.families[place.family];
    place.threshold = layout.take(stage.channels_in, sizeof(float));
    place.limit = layout.take(int64_t{blocks} * kGrowth, sizeof(uint16_t));
    place.flip = layout.take(place.words, sizeof(uint32_t));
    if (record.is_sliced) {
      place.weights = layout.bytes();
      place.lists = place_lists(kernels, shape, layer, &layout, part, &sizes.list_bytes);
    } else {
      place.weights = layout.take(1, family.weight_bytes(place.words));
      if (part != nullptr) {
        family.pack_weights(layer.weight, place.words, at<void>(part, place.weights));
      }
      if (record.images > 0) {
        place.lists = place_lists(kernels, tiled, layer, &layout, part, &sizes.list_bytes);
      }
    }
    place.correction = layout.take(kBorderClasses * kGrowth, sizeof(int16_t));
    place.first_plane = static_cast<int32_t>(sizes.channels_read);
    const size_t scratch = family.scratch_bytes(place.words, stage.height, stage.width);
    if (scratch > sizes.scratch) sizes.scratch = scratch;
    sizes.list_limit += int64_t{kTaps} * layer.channels * kGrowth * 2 * 2 / 5;
    sizes.channels_read += layer.channels;
    sizes.widest = layer.channels;
    total = kTaps * layer.channels + (place.is_improvement ? total : 0);
    if (total > sizes.largest) sizes.largest = total;
    if (!place.is_improvement) ++blocks;
    if (part == nullptr) continue;
    int32_t* totals = at<int32_t>(part, record.totals);
    write_thresholds(layer, record, place, totals, part);
    totals[place.target] = total;
    make_border_correction(layer.weight, place.words, at<int16_t>(part, place.correction));
    at<LayerRecord>(part, record.layers)[i] = place;
  }
  sizes.part = layout.bytes();
  return sizes;
}

// Places what a run of the stage needs.
void plan_workspace(const bnn_stage& stage, const SlicedShape& shape, const SlicedShape& tiled,
                    const Sizes& sizes, Layout* common, Layout* member, StageRecord* record) {
  record->count_planes = pooled_planes(plane_count(sizes.largest));
  Layout together;
  if (record->images > 0) {  // in the place of what one image needs
    Layout several;
    record->together = plan_sliced_workspace(tiled, sizes.widest, sizes.channels_read, *record,
                                             &several, &together);
  }
  if (record->is_sliced) {
    record->alone =
        plan_sliced_workspace(shape, sizes.widest, sizes.channels_read, *record, common, member);
    if (together.bytes() > member->bytes()) *member = together;
    return;
  }
  const int64_t pixels = int64_t{stage.height} * stage.width;
  const int64_t bordered = int64_t{stage.height + 2} * (stage.width + 2);
  record->input_bits =
      common->take(record->layer_count * pixels * (record->channels_in / 32), sizeof(uint32_t));
  record->counts = common->take(record->block_count * pixels * kGrowth, sizeof(uint16_t));
  record->tile = member->take(kTransposeRows * record->channels_in, sizeof(float));
  record->map = member->take(bordered * (sizes.widest / 32) * 4 + kSlack, 1);
  record->scratch = member->take(static_cast<int64_t>(sizes.scratch) + kSlack, 1);
  if (together.bytes() > member->bytes()) *member = together;
}

// Lists that are read once for all images, layer by layer, are longer: planes of as many images
// take each other's place in the caches. On maps of several vectors that costs as much as it gains.
constexpr int64_t kLongLists = int64_t{4} << 20;

// How several images run together: as tiles of the same planes, or planes each.
void choose_together(const bnn_stage& stage, const Kernels& kernels, const SlicedShape& alone,
                     Force force, StageRecord* record, SlicedShape* shape) {
  const SlicedSizes* sizes = kernels.sliced != nullptr ? &kernels.sliced->sizes : nullptr;
  if (stage.padding != 0 && choose_tiles(sizes, {stage.height, stage.width, widest_layer(stage)},
                                         force, record->is_sliced ? &alone : nullptr, shape)) {
    record->images = shape->tiles.images;
    record->least = (record->images * sizes->tile_quarters + 3) / 4;
    record->tile_vector_bytes = shape->vector_bytes;
    record->tile_row_bits = shape->row_bits;
  } else if (stage.padding != 0 && record->is_sliced &&
             choose_stack(*sizes, {stage.height, stage.width, widest_layer(stage)}, alone, shape)) {
    record->images = shape->tiles.images;
    record->least = static_cast<int32_t>(plane_bytes(*shape) / plane_bytes(alone)) + 1;
    record->is_stacked = 1;
  } else if (record->is_sliced && alone.vectors == 1) {
    *shape = alone;
    record->images = record->least = 1;
  }
}

}  // namespace
}  // namespace bnn

int bnn_stage_prepare(const bnn_stage* stage, void* part, size_t* bytes) {
  using namespace bnn;
  if (check_pointer("bnn_stage_prepare: bytes", bytes) != BNN_OK || check_stage(stage) != BNN_OK)
    return BNN_EARGUMENT;
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  Force force;
  if (read_force(&force) != BNN_OK) return BNN_EUNSUPPORTED;

  StageRecord record;
  memset(&record, 0, sizeof record);
  record.channels_in = stage->channels_in;
  record.height = stage->height;
  record.width = stage->width;
  record.padding = stage->padding;
  record.layer_count = stage->layer_count;
  for (int32_t i = 0; i < stage->layer_count; ++i)
    record.block_count += stage->layers[i].is_improvement == 0;
  Layout layout;
  layout.take(1, sizeof record);
  record.layers = layout.take(record.layer_count, sizeof(LayerRecord));
  record.totals = layout.take(record.block_count, sizeof(int32_t));

  SlicedShape shape = {};
  record.is_sliced =
      choose_sliced(kernels->sliced != nullptr ? &kernels->sliced->sizes : nullptr,
                    {stage->height, stage->width, widest_layer(*stage)}, force, &shape);
  SlicedShape tiled = {};
  choose_together(*stage, *kernels, shape, force, &record, &tiled);
  Sizes sizes = place_layers(*stage, *kernels, shape, tiled, record, layout, nullptr);
  if (force == Force::kNone && sizes.list_bytes > sizes.list_limit) {
    record.is_sliced = record.images = 0;
    sizes = place_layers(*stage, *kernels, shape, tiled, record, layout, nullptr);
  }
  record.groups = sizes.list_bytes > kLongLists && record.is_stacked == 0 ? kTogether : 1;
  if (record.images == 1 && record.groups == 1) record.images = 0;
  bool write;
  const int status = open_part("bnn_stage_prepare", part, bytes, sizes.part, &write);
  if (status != BNN_OK || !write) return status;
  Layout common, member;
  plan_workspace(*stage, shape, tiled, sizes, &common, &member, &record);
  write_header(&record, *kernels, Kind::kStage, sizes.part, common, member,
               {stage->channels_in, stage->height, stage->width},
               {stage->channels_in + record.block_count * kGrowth, stage->height, stage->width});
  memset(part, 0, sizes.part);
  *static_cast<StageRecord*>(part) = record;
  place_layers(*stage, *kernels, shape, tiled, record, layout, part);
  return BNN_OK;
}
