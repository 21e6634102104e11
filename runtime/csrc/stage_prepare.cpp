// Validates the description of a stage and writes the prepared stage: thresholds on counts, weights
// repacked.
#include <math.h>
#include <string.h>

#include "border.h"
#include "stage.h"

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

}  // namespace
}  // namespace bnn

int bnn_stage_prepare(const bnn_stage* stage, void* part, size_t* bytes) {
  using namespace bnn;
  if (check_pointer("bnn_stage_prepare: bytes", bytes) != BNN_OK || check_stage(stage) != BNN_OK)
    return BNN_EARGUMENT;
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  const int64_t pixels = int64_t{stage->height} * stage->width;

  // Sizes: two passes over the layers give the same offsets, the second writes.
  StageRecord record;
  memset(&record, 0, sizeof record);
  record.channels_in = stage->channels_in;
  record.height = stage->height;
  record.width = stage->width;
  record.padding = stage->padding;
  record.layer_count = stage->layer_count;
  for (int32_t i = 0; i < stage->layer_count; ++i)
    record.block_count += stage->layers[i].is_improvement == 0;
  Layout layout, workspace;
  layout.take(1, sizeof record);
  record.layers = layout.take(record.layer_count, sizeof(LayerRecord));
  record.totals = layout.take(record.block_count, sizeof(int32_t));

  bool write = false;
  int32_t* totals = nullptr;
  size_t scratch = 0;
  int64_t widest = 0;
  for (int pass = 0; pass < 2; ++pass) {
    Layout pieces = layout;
    int32_t blocks = 0;
    for (int32_t i = 0; i < stage->layer_count; ++i) {
      const bnn_binary_layer& layer = stage->layers[i];
      LayerRecord at_layer;
      memset(&at_layer, 0, sizeof at_layer);
      at_layer.words = layer.channels / 32;
      at_layer.blocks = blocks;
      at_layer.is_improvement = layer.is_improvement != 0;
      at_layer.target = at_layer.is_improvement ? blocks - 1 : blocks;
      at_layer.family = choose_family(*kernels, at_layer.words, stage->height, stage->width);
      const CountFamily& family = kernels->families[at_layer.family];
      at_layer.threshold = pieces.take(stage->channels_in, sizeof(float));
      at_layer.limit = pieces.take(int64_t{blocks} * kGrowth, sizeof(uint16_t));
      at_layer.flip = pieces.take(at_layer.words, sizeof(uint32_t));
      at_layer.weights = pieces.take(1, family.weight_bytes(at_layer.words));
      at_layer.correction = pieces.take(kBorderClasses * kGrowth, sizeof(int16_t));
      if (!at_layer.is_improvement) ++blocks;
      if (pass == 0) {
        const size_t needed = family.scratch_bytes(at_layer.words, stage->height, stage->width);
        if (needed > scratch) scratch = needed;
        if (at_layer.words > widest) widest = at_layer.words;
        continue;
      }
      write_thresholds(layer, record, at_layer, totals, part);
      totals[at_layer.target] =
          kTaps * layer.channels + (at_layer.is_improvement ? totals[at_layer.target] : 0);
      family.pack_weights(layer.weight, at_layer.words, at<void>(part, at_layer.weights));
      make_border_correction(layer.weight, at_layer.words, at<int16_t>(part, at_layer.correction));
      at<LayerRecord>(part, record.layers)[i] = at_layer;
    }
    if (pass == 1) break;
    const int status = open_part("bnn_stage_prepare", part, bytes, pieces.bytes(), &write);
    if (status != BNN_OK || !write) return status;
    record.input_bits =
        workspace.take(record.layer_count * pixels * (record.channels_in / 32), sizeof(uint32_t));
    record.tile = workspace.take(kTransposeRows * record.channels_in, sizeof(float));
    record.map =
        workspace.take((stage->height + 2) * int64_t{stage->width + 2} * widest * 4 + kSlack, 1);
    record.counts = workspace.take(record.block_count * pixels * kGrowth, sizeof(uint16_t));
    record.scratch = workspace.take(static_cast<int64_t>(scratch) + kSlack, 1);
    write_header(&record, *kernels, Kind::kStage, pieces.bytes(), workspace.bytes(),
                 {stage->channels_in, stage->height, stage->width},
                 {stage->channels_in + record.block_count * kGrowth, stage->height, stage->width});
    memset(part, 0, pieces.bytes());
    *static_cast<StageRecord*>(part) = record;
    totals = at<int32_t>(part, record.totals);
  }
  return BNN_OK;
}
