// Runs a prepared stage on one image.
// Inputs are compared once for all layers, produced channels live as counts.
//
// 1. Bring the inputs into channel order, a few pixels at a time, and pack them for every layer of
//    the stage.
// 2. For each layer: assemble the padded map from those bits and from the counts of the blocks
//    produced so far, then count.
// 3. Write inputs and counts as float planes.
//
// The members of a team share out the rows of the map; each assembles the rows that it reads.
#include "parts/stage.h"

#include <string.h>

#include "core/border.h"

namespace bnn {
namespace {

void pack_inputs(const StageRecord& stage, const void* part, const Run& run, const float* x) {
  const LayerRecord* layers = at<LayerRecord>(part, stage.layers);
  const int64_t pixels = int64_t{stage.height} * stage.width, words = stage.channels_in / 32;
  float* tile = at<float>(run.workspace.own, stage.tile);
  const Range tiles = run.team.share(round_up(pixels, kTransposeRows) / kTransposeRows);
  for (int64_t i = tiles.begin; i < tiles.end; ++i) {
    const int64_t first = i * kTransposeRows;
    const int64_t rows = pixels - first < kTransposeRows ? pixels - first : kTransposeRows;
    run.kernels->transpose(x + first, pixels, stage.channels_in, rows, tile, stage.channels_in);
    for (int32_t k = 0; k < stage.layer_count; ++k) {
      uint32_t* bits =
          at<uint32_t>(run.workspace.common, stage.input_bits) + (k * pixels + first) * words;
      run.kernels->pack_floats(tile, stage.channels_in, rows, at<float>(part, layers[k].threshold),
                               at<uint32_t>(part, layers[k].flip), words, bits, words);
    }
  }
  run.mark(kBinarize);
}

// The map of some rows of the output: row 0 is the one above them.
void fill_map(const StageRecord& stage, int32_t index, Range rows, const void* part,
              const Run& run) {
  const LayerRecord& layer = at<LayerRecord>(part, stage.layers)[index];
  const int64_t pixels = int64_t{stage.height} * stage.width;
  const int64_t input_words = stage.channels_in / 32;
  const uint32_t* flip = at<uint32_t>(part, layer.flip) + input_words;
  uint32_t* map = at<uint32_t>(run.workspace.own, stage.map);
  fill_border(map, layer.words, rows.end - rows.begin, stage.width, stage.padding);
  const int64_t first = rows.begin > 0 ? rows.begin - 1 : 0;
  const int64_t end = rows.end < stage.height ? rows.end + 1 : stage.height;
  for (int64_t y = first; y < end; ++y) {
    const uint32_t* bits = at<uint32_t>(run.workspace.common, stage.input_bits) +
                           (index * pixels + y * stage.width) * input_words;
    uint32_t* row = map + ((y - rows.begin + 1) * (stage.width + 2) + 1) * layer.words;
    for (int64_t x = 0; x < stage.width; ++x) {
      for (int64_t i = 0; i < input_words; ++i) row[x * layer.words + i] = *bits++;
    }
    if (layer.blocks > 0) {
      run.kernels->pack_counts(
          at<uint16_t>(run.workspace.common, stage.counts) + y * stage.width * kGrowth,
          pixels * kGrowth, layer.blocks, stage.width, at<uint16_t>(part, layer.limit), flip,
          row + input_words, layer.words);
    }
  }
  run.mark(kSpread);
}

void write_floats(const StageRecord& stage, const void* part, const Run& run, const float* x,
                  float* y) {
  const int64_t pixels = int64_t{stage.height} * stage.width;
  const Range inputs = run.team.share(stage.channels_in);
  memcpy(y + inputs.begin * pixels, x + inputs.begin * pixels,
         static_cast<size_t>((inputs.end - inputs.begin) * pixels) * sizeof *y);
  const int32_t* totals = at<int32_t>(part, stage.totals);
  const Range blocks = run.team.share(stage.block_count);
  for (int64_t block = blocks.begin; block < blocks.end; ++block) {
    run.kernels->unpack_counts(
        at<uint16_t>(run.workspace.common, stage.counts) + block * pixels * kGrowth, pixels,
        totals[block], y + (stage.channels_in + block * kGrowth) * pixels, pixels);
  }
  run.mark(kWrite);
}

}  // namespace

void run_stage(const void* part, const Run& run, const float* x, float* y) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  if (stage.is_sliced) {
    run_sliced_stage(part, run, x, y, nullptr);
    return;
  }
  const LayerRecord* layers = at<LayerRecord>(part, stage.layers);
  const int64_t pixels = int64_t{stage.height} * stage.width;
  const Range rows = run.team.share(stage.height);
  uint16_t* counts = at<uint16_t>(run.workspace.common, stage.counts);
  pack_inputs(stage, part, run, x);
  for (int32_t i = 0; i < stage.layer_count; ++i) {
    const LayerRecord& layer = layers[i];
    run.team.meet();  // inputs and counts of all rows are there
    fill_map(stage, i, rows, part, run);
    if (layer.is_improvement) run.team.meet();  // it changes counts that others have read
    if (rows.begin == rows.end) continue;
    uint16_t* target = counts + layer.target * pixels * kGrowth;
    run.kernels->families[layer.family].count(
        {at<void>(part, layer.weights), at<uint32_t>(run.workspace.own, stage.map), layer.words,
         rows.end - rows.begin, stage.width, target + rows.begin * stage.width * kGrowth,
         layer.is_improvement != 0, at<void>(run.workspace.own, stage.scratch)});
    if (stage.padding == 0) {
      correct_border(at<int16_t>(part, layer.correction), stage.height, stage.width, rows, target);
    }
    run.mark(kCount);
  }
  run.team.meet();
  write_floats(stage, part, run, x, y);
}

bool can_fuse(const void* stage, const void* transition) {
  return static_cast<const StageRecord*>(stage)->is_sliced && pools_halves(transition);
}

int64_t stage_images(const void* part, int64_t n) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  const int64_t most = stage.images == 0 ? 1 : int64_t{stage.images} * stage.groups;
  return n < most ? n : most;
}

uint64_t stage_together_bytes(const void* part, int64_t n) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  if (stage.images == 0) return 0;
  const int64_t groups = (n + stage.images - 1) / stage.images;
  return static_cast<uint64_t>(groups < stage.groups ? groups : stage.groups) *
         stage.together.bytes;
}

namespace {

// n images in groups, or one image alone.
void run_some(const void* part, const Run& run, bool together, int64_t n, const float* x, float* y,
              const Pooling* pooling) {
  if (together) return run_sliced_together(part, run, n, x, y, pooling);
  if (pooling != nullptr) return run_sliced_stage(part, run, x, nullptr, pooling);
  run_stage(part, run, x, y);
}

void run_stages(const void* part, const Run& run, int64_t n, const float* x, float* y,
                const Pooling* pooling) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  // A last group of too few images is none.
  const int64_t last = stage.images > 0 && n > 1 ? n % stage.images : n;
  const int64_t grouped = stage.images > 0 && last >= stage.least ? n : n - last;
  const int64_t most = stage_images(part, n);
  for (int64_t image = 0; image < n;) {
    if (image > 0) run.team.meet();  // the workspace is free again
    const bool together = image < grouped;
    const int64_t left = grouped - image, some = !together ? 1 : left < most ? left : most;
    const float* from = x + image * input_floats(stage.header);
    if (pooling == nullptr) {
      run_some(part, run, together, some, from, y + image * output_floats(stage.header), nullptr);
    } else {
      run_some(part, run, together, some, from, nullptr, pooling);
      run.team.meet();
      const int64_t outputs = output_floats(*static_cast<const PartHeader*>(pooling->transition));
      for (int64_t i = 0; i < some; ++i)
        convolve_planes(pooling->transition, pooling->run_of(i), y + (image + i) * outputs);
    }
    image += some;
  }
}

}  // namespace

void run_stage_together(const void* part, const Run& run, int64_t n, const float* x, float* y) {
  run_stages(part, run, n, x, y, nullptr);
}

void run_fused(const void* stage, const void* transition, const Run& stage_run,
               const Run& transition_run, int64_t n, const float* x, float* y) {
  const Pooling pooling = {transition, &transition_run};
  run_stages(stage, stage_run, n, x, y, &pooling);
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
