// Runs a stage in the bit-sliced domain.
// Channels are planes from the comparison of the inputs to the floats of the outputs.
//
// 1. Compare every input channel with the thresholds of all layers.
// 2. For each layer: spread its planes into elements, count. While the counts of an output are at
//    hand they are compared with the thresholds of the layers that read them. Counts are kept for
//    an improvement that follows and for a pool; else, once final, they are written as floats.
//
// The members of a team share out channels in 1, positions and outputs in 2; each spreads the
// elements that it reads itself, so that they come from its own cache. They meet once a layer.
#include <string.h>

#include "kernels/sliced/sliced.h"
#include "parts/stage.h"

namespace bnn {
namespace {

int64_t plane_bytes(const SlicedShape& shape) {
  return int64_t{shape.vectors} * shape.vector_bytes;
}

// The planes that a layer reads.
char* layer_bits(const StageRecord& stage, const LayerRecord& layer, void* workspace) {
  return at<char>(workspace, stage.bits + layer.bits);
}

// Planes that an improvement reads of the block before it.
int32_t kept_planes(const void* part, const LayerRecord& improvement, int32_t total) {
  const int32_t planes = plane_count(total + kTaps * 32 * improvement.words);
  const int32_t base = at<SlicedLayer>(part, improvement.weights)->sum_planes + 1;
  return planes > base ? planes : base;
}

// Compares the inputs for all layers and hands them on.
void compare_inputs(const StageRecord& stage, const SlicedShape& shape, const void* part,
                    const Run& run, const float* x, float* y, const Pooling* pooling) {
  const LayerRecord* layers = at<LayerRecord>(part, stage.layers);
  const int64_t pixels = int64_t{stage.height} * stage.width;
  float* thresholds = at<float>(run.workspace.own, stage.tile);
  void** planes = at<void*>(run.workspace.own, stage.planes);
  const Range channels = run.team.share(stage.channels_in);
  for (int64_t channel = channels.begin; channel < channels.end; ++channel) {
    for (int32_t i = 0; i < stage.layer_count; ++i) {
      thresholds[i] = at<float>(part, layers[i].threshold)[channel];
      planes[i] = layer_bits(stage, layers[i], run.workspace.common) + channel * plane_bytes(shape);
    }
    const float* from = x + channel * pixels;
    run.kernels->sliced->compare({shape, from, stage.layer_count, thresholds, planes});
    run.mark(kBinarize);
    if (pooling != nullptr) {
      pool_channel(pooling->transition, *pooling->run, channel, from);
    } else {
      memcpy(y + channel * pixels, from, static_cast<size_t>(pixels) * sizeof *y);
      run.mark(kWrite);
    }
  }
}

// Pools this member's share of a block of final counts.
void pool_block(const StageRecord& stage, const SlicedShape& shape, const SlicedVectors& vectors,
                const Team& team, const void* block, int32_t first, int32_t total,
                const Pooling& pooling) {
  const float inverse_step = transition_inverse_step(pooling.transition);
  const Workspace& workspace = pooling.run->workspace;
  void* y[kGrowth];
  for (int32_t i = 0; i < kGrowth; ++i) {
    if (inverse_step > 0.0f) {
      y[i] = transition_plane<uint8_t>(pooling.transition, workspace, first + i);
    } else {
      y[i] = transition_plane<float>(pooling.transition, workspace, first + i);
    }
  }
  vectors.pool({shape, block, stage.count_planes, pooled_planes(plane_count(total)), total,
                team.share(kGrowth), transition_scale(pooling.transition) + first,
                transition_shift(pooling.transition) + first, y, inverse_step});
  pooling.run->mark(kPool);
}

}  // namespace

void plan_sliced_workspace(const SlicedShape& shape, int32_t widest, int64_t channels_read,
                           int32_t total, Layout* common, Layout* member, StageRecord* stage) {
  const size_t vector_bytes = static_cast<size_t>(shape.vector_bytes);
  stage->count_planes = pooled_planes(plane_count(total));
  stage->bits = common->take(channels_read, static_cast<size_t>(plane_bytes(shape)));
  stage->counts = common->take(2 * shape.vectors * kGrowth * stage->count_planes, vector_bytes);
  stage->map = member->take(element_vectors(shape, widest), vector_bytes);
  stage->scratch = member->take(shape.vectors * 2 * (kSumPlanesMost + 1), vector_bytes);
  stage->tile = member->take(stage->layer_count, sizeof(float));
  stage->planes = member->take(stage->layer_count, sizeof(void*));
  stage->readers = member->take(stage->layer_count, sizeof(SlicedReader));
}

void run_sliced_stage(const void* part, const Run& run, const float* x, float* y,
                      const Pooling* pooling) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  const LayerRecord* layers = at<LayerRecord>(part, stage.layers);
  const auto [common, own] = run.workspace;
  SlicedShape shape;
  make_sliced_shape(run.kernels->sliced->sizes, stage.height, stage.width, &shape);
  const SlicedVectors& vectors = sliced_vectors(*run.kernels->sliced, shape);
  const int64_t pixels = int64_t{stage.height} * stage.width;
  const int64_t block_bytes = int64_t{shape.vectors} * kGrowth * stage.count_planes;
  compare_inputs(stage, shape, part, run, x, y, pooling);
  SlicedReader* readers = at<SlicedReader>(own, stage.readers);
  int32_t total = 0;  // the largest count of the block
  bool has_met = false;
  for (int32_t i = 0; i < stage.layer_count; ++i) {
    const LayerRecord& layer = layers[i];
    const SlicedLayer* weights = at<SlicedLayer>(part, layer.weights);
    const int32_t channels = layer.words * 32;
    void* elements = at<void>(own, stage.map);
    void* base = at<void>(own, stage.scratch);
    // Two blocks take turns: one may still be pooled while the next is counted.
    void* block = at<void>(
        common,
        stage.counts + static_cast<uint64_t>(layer.target % 2 * block_bytes * shape.vector_bytes));
    const Range items = run.team.share(band_count(shape) * weights->group_count);
    if (!has_met) run.team.meet();  // the planes of all channels are there
    has_met = false;
    if (items.begin < items.end) {
      vectors.spread({shape, stage.padding, channels, layer_bits(stage, layer, common),
                      at<uint32_t>(part, layer.flip), elements, weights->overlapping != 0,
                      weights->sum_planes + 1, base,
                      band_vectors(shape, items.begin / weights->group_count,
                                   (items.end - 1) / weights->group_count + 1)});
    }
    run.mark(kSpread);
    total = kTaps * channels + (layer.is_improvement ? total : 0);
    // The next layer may change the counts; then it alone reads them as they are.
    const bool is_final = i + 1 == stage.layer_count || !layers[i + 1].is_improvement;
    const int32_t end = is_final ? stage.layer_count : i + 2;
    const int32_t first = stage.channels_in + layer.target * kGrowth;
    for (int32_t reader = i + 1; reader < end; ++reader) {
      const LayerRecord& later = layers[reader];
      readers[reader - i - 1] = {at<uint16_t>(part, later.limit) + layer.target * kGrowth,
                                 layer_bits(stage, later, common) + first * plane_bytes(shape)};
    }
    const int32_t planes = plane_count(total);
    const int32_t kept = !is_final ? kept_planes(part, layers[i + 1], total)
                         : pooling ? pooled_planes(planes)
                                   : 0;
    vectors.count({shape, channels, weights, elements, base, block, stage.count_planes, planes,
                   layer.is_improvement != 0, kept,
                   stage.padding == 0 ? at<int16_t>(part, layer.correction) : nullptr, readers,
                   end - i - 1, is_final && !pooling ? y + first * pixels : nullptr, total, items});
    run.mark(kCount);
    if (is_final && pooling) {
      run.team.meet();
      has_met = true;
      pool_block(stage, shape, vectors, run.team, block, first, total, *pooling);
    }
  }
}

}  // namespace bnn
