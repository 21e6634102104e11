// Runs a prepared stage on one image: inputs are compared once for all layers, produced channels
// live as counts.
//
// 1. Bring the inputs into channel order, a few pixels at a time, and pack them for every layer of
//    the stage.
// 2. For each layer: assemble the padded map from those bits and from the counts of the blocks
//    produced so far, then count mismatches into a new block (dense) or onto the last one
//    (improvement). Nothing is copied or concatenated.
// 3. Write the inputs and total - 2 * count of every produced channel as float planes.
#include <string.h>

#include "border.h"
#include "stage.h"

namespace bnn {
namespace {

void pack_inputs(const StageRecord& stage, const LayerRecord* layers, const void* part,
                 const Kernels& kernels, const float* x, void* workspace) {
  const int64_t pixels = int64_t{stage.height} * stage.width;
  const int64_t words = stage.channels_in / 32;
  float* tile = at<float>(workspace, stage.tile);
  for (int64_t first = 0; first < pixels; first += kTransposeRows) {
    const int64_t left = pixels - first;
    const int64_t rows = left < kTransposeRows ? left : kTransposeRows;
    kernels.transpose(x + first, pixels, stage.channels_in, rows, tile, stage.channels_in);
    for (int32_t i = 0; i < stage.layer_count; ++i) {
      uint32_t* bits = at<uint32_t>(workspace, stage.input_bits) + (i * pixels + first) * words;
      kernels.pack_floats(tile, stage.channels_in, rows, at<float>(part, layers[i].threshold),
                          at<uint32_t>(part, layers[i].flip), words, bits, words);
    }
  }
}

void fill_map(const StageRecord& stage, const LayerRecord& layer, int32_t index, const void* part,
              const Kernels& kernels, void* workspace) {
  const int64_t pixels = int64_t{stage.height} * stage.width;
  const int64_t input_words = stage.channels_in / 32;
  const uint32_t* bits = at<uint32_t>(workspace, stage.input_bits) + index * pixels * input_words;
  const uint32_t* flip = at<uint32_t>(part, layer.flip) + input_words;
  uint32_t* map = at<uint32_t>(workspace, stage.map);
  fill_border(map, layer.words, stage.height, stage.width, stage.padding);
  for (int64_t y = 0; y < stage.height; ++y) {
    uint32_t* row = map + ((y + 1) * (stage.width + 2) + 1) * layer.words;
    for (int64_t x = 0; x < stage.width; ++x) {
      for (int64_t i = 0; i < input_words; ++i) row[x * layer.words + i] = *bits++;
    }
    if (layer.blocks > 0) {
      kernels.pack_counts(at<uint16_t>(workspace, stage.counts) + y * stage.width * kGrowth,
                          pixels * kGrowth, layer.blocks, stage.width,
                          at<uint16_t>(part, layer.limit), flip, row + input_words, layer.words);
    }
  }
}

}  // namespace

void run_stage(const void* part, const Kernels& kernels, const float* x, float* y,
               void* workspace) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  if (stage.is_sliced) {
    run_sliced_stage(part, kernels, x, y, workspace);
    return;
  }
  const LayerRecord* layers = at<LayerRecord>(part, stage.layers);
  const int64_t pixels = int64_t{stage.height} * stage.width;
  uint16_t* counts = at<uint16_t>(workspace, stage.counts);
  pack_inputs(stage, layers, part, kernels, x, workspace);
  for (int32_t i = 0; i < stage.layer_count; ++i) {
    const LayerRecord& layer = layers[i];
    fill_map(stage, layer, i, part, kernels, workspace);
    uint16_t* target = counts + layer.target * pixels * kGrowth;
    kernels.families[layer.family].count(
        {at<void>(part, layer.weights), at<uint32_t>(workspace, stage.map), layer.words,
         stage.height, stage.width, target, layer.is_improvement != 0,
         at<void>(workspace, stage.scratch)});
    if (stage.padding == 0)
      correct_border(at<int16_t>(part, layer.correction), stage.height, stage.width, target);
  }
  memcpy(y, x, static_cast<size_t>(stage.channels_in * pixels) * sizeof *y);
  const int32_t* totals = at<int32_t>(part, stage.totals);
  for (int32_t block = 0; block < stage.block_count; ++block) {
    kernels.unpack_counts(counts + block * pixels * kGrowth, pixels, totals[block],
                          y + (stage.channels_in + int64_t{block} * kGrowth) * pixels, pixels);
  }
}

void report_stage(const void* part, const Kernels& kernels, Text* text) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  const LayerRecord* layers = at<LayerRecord>(part, stage.layers);
  text->add("[");
  for (int32_t i = 0; i < stage.layer_count; ++i) {
    text->add("%s{\"layer\": \"layer%d %s %dx%dx%d\", \"kernel\": \"%s\"}", i > 0 ? ", " : "", i,
              layers[i].is_improvement ? "improvement" : "dense", layers[i].words * 32,
              stage.height, stage.width,
              stage.is_sliced ? "sliced" : kernels.families[layers[i].family].name);
  }
  text->add("]");
}

}  // namespace bnn
