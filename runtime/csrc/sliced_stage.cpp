// Runs a stage in the bit-sliced domain: channels are planes from the comparison of the inputs to
// the floats of the outputs.
//
// 1. Compare every input channel with the thresholds of all layers.
// 2. For each layer: spread its planes into elements, count. While the counts of an output are at
//    hand they are compared with the thresholds of the layers that read them and, once final,
//    written as floats. Counts are kept only for an improvement that follows.
#include <string.h>

#include "sliced.h"
#include "stage.h"

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

// Compares the inputs for all layers and copies them to the outputs.
void compare_inputs(const StageRecord& stage, const SlicedShape& shape, const LayerRecord* layers,
                    const void* part, const SlicedKernels& sliced, const float* x, float* y,
                    void* workspace) {
  const int64_t pixels = int64_t{stage.height} * stage.width;
  float* thresholds = at<float>(workspace, stage.tile);
  void** planes = at<void*>(workspace, stage.planes);
  for (int32_t channel = 0; channel < stage.channels_in; ++channel) {
    for (int32_t i = 0; i < stage.layer_count; ++i) {
      thresholds[i] = at<float>(part, layers[i].threshold)[channel];
      planes[i] = layer_bits(stage, layers[i], workspace) + channel * plane_bytes(shape);
    }
    sliced.compare({shape, x + channel * pixels, stage.layer_count, thresholds, planes});
    memcpy(y + channel * pixels, x + channel * pixels, static_cast<size_t>(pixels) * sizeof *y);
  }
}

}  // namespace

void plan_sliced_workspace(const SlicedShape& shape, int32_t widest, int64_t channels_read,
                           int32_t total, Layout* workspace, StageRecord* stage) {
  const size_t vector_bytes = static_cast<size_t>(shape.vector_bytes);
  stage->bits = workspace->take(channels_read, static_cast<size_t>(plane_bytes(shape)));
  stage->map = workspace->take((shape.vectors + 2) * (3 * int64_t{widest} + 1), vector_bytes);
  stage->scratch = workspace->take(shape.vectors * 2 * (kSumPlanesMost + 1), vector_bytes);
  const int32_t planes = plane_count(total);
  stage->count_planes = planes > kSumPlanesLeast ? planes : kSumPlanesLeast + 1;
  stage->counts = workspace->take(shape.vectors * kGrowth * stage->count_planes, vector_bytes);
  stage->tile = workspace->take(stage->layer_count, sizeof(float));
  stage->planes = workspace->take(stage->layer_count, sizeof(void*));
  stage->readers = workspace->take(stage->layer_count, sizeof(SlicedReader));
}

void run_sliced_stage(const void* part, const Kernels& kernels, const float* x, float* y,
                      void* workspace) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  const LayerRecord* layers = at<LayerRecord>(part, stage.layers);
  const SlicedKernels& sliced = *kernels.sliced;
  SlicedShape shape;
  make_sliced_shape(sliced, stage.height, stage.width, &shape);
  const SlicedVectors& vectors = sliced_vectors(sliced, shape);
  const int64_t pixels = int64_t{stage.height} * stage.width;
  compare_inputs(stage, shape, layers, part, sliced, x, y, workspace);
  SlicedReader* readers = at<SlicedReader>(workspace, stage.readers);
  int32_t total = 0;  // the largest count of the block
  for (int32_t i = 0; i < stage.layer_count; ++i) {
    const LayerRecord& layer = layers[i];
    const SlicedLayer* weights = at<SlicedLayer>(part, layer.weights);
    const int32_t channels = layer.words * 32;
    void* elements = at<void>(workspace, stage.map);
    void* base = at<void>(workspace, stage.scratch);
    vectors.spread({shape, stage.padding, channels, layer_bits(stage, layer, workspace),
                    at<uint32_t>(part, layer.flip), elements, weights->sum_planes + 1, base});
    total = kTaps * channels + (layer.is_improvement ? total : 0);
    // The next layer may change the counts; then it alone reads them as they are.
    const bool is_final = i + 1 == stage.layer_count || !layers[i + 1].is_improvement;
    const int32_t end = is_final ? stage.layer_count : i + 2;
    const int32_t first = layer.target * kGrowth;  // produced channel
    for (int32_t reader = i + 1; reader < end; ++reader) {
      const LayerRecord& later = layers[reader];
      readers[reader - i - 1] = {
          at<uint16_t>(part, later.limit) + first,
          layer_bits(stage, later, workspace) + (stage.channels_in + first) * plane_bytes(shape)};
    }
    vectors.count({shape, channels, weights, elements, base, at<void>(workspace, stage.counts),
                   stage.count_planes, plane_count(total), layer.is_improvement != 0,
                   is_final ? 0 : kept_planes(part, layers[i + 1], total),
                   stage.padding == 0 ? at<int16_t>(part, layer.correction) : nullptr, readers,
                   end - i - 1, is_final ? y + (stage.channels_in + first) * pixels : nullptr,
                   total});
  }
}

}  // namespace bnn
