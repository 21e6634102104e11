// Times one binary layer outside any network, in each kernel family of the active implementation.
// The families take turns.
#include <string.h>

#include "core/border.h"
#include "core/clock.h"
#include "kernels/sliced/sliced.h"
#include "measure/runs.h"
#include "parts/part.h"

namespace bnn {
namespace {

// One layer in one family: where everything of it lies, and what it runs.
struct Layer {
  const Kernels* kernels;
  const CountFamily* family;  // popcount
  SlicedShape shape;          // bit-sliced
  bool is_sliced;
  int64_t channels, height, width;
  const uint32_t* weight;
  void* weights;    // packed
  void* map;        // popcount: the map; bit-sliced: elements
  void* counts;     // popcount: of this layer; bit-sliced: of its block
  void* scratch;    // popcount: of the family; bit-sliced: sums of all elements
  void* bits;       // popcount: words of channels that are no counts; bit-sliced: planes
  void* sources;    // popcount: counts of the blocks that the layer reads
  uint16_t* limit;  // [channels + 64]
  uint32_t* flip;   // [channels / 32]
  SlicedReader* readers;
  void* read;  // planes [64] of each reader
};

int64_t reader_count(const Layer& layer) { return (layer.channels + kGrowth - 1) / kGrowth; }
int64_t plane_bytes(const Layer& layer) {
  return int64_t{layer.shape.vectors} * layer.shape.vector_bytes;
}

// ---- the two families: these four functions alone know the kernels' jobs ----

void surround_popcount(const Layer& layer) {
  const int64_t words = layer.channels / 32, pixels = layer.height * layer.width;
  const int64_t blocks = words / 2;
  uint32_t* map = static_cast<uint32_t*>(layer.map);
  fill_border(map, words, layer.height, layer.width, -1);
  for (int64_t y = 0; y < layer.height; ++y) {
    uint32_t* row = map + ((y + 1) * (layer.width + 2) + 1) * words;
    if (words % 2 != 0) {  // half a block: bits of an input of the stage
      const uint32_t* bits = static_cast<const uint32_t*>(layer.bits) + y * layer.width;
      for (int64_t x = 0; x < layer.width; ++x) row[x * words] = bits[x];
    }
    layer.kernels->pack_counts(
        static_cast<const uint16_t*>(layer.sources) + y * layer.width * kGrowth, pixels * kGrowth,
        blocks, layer.width, layer.limit, layer.flip, row + words % 2, words);
  }
}

void count_popcount(const Layer& layer) {
  layer.family->count({layer.weights, static_cast<uint32_t*>(layer.map), layer.channels / 32,
                       layer.height, layer.width, static_cast<uint16_t*>(layer.counts), false,
                       layer.scratch});
}

void surround_sliced(const Layer& layer) {
  const SlicedLayer* weights = static_cast<const SlicedLayer*>(layer.weights);
  sliced_vectors(*layer.kernels->sliced, layer.shape)
      .spread({layer.shape,
               -1,
               static_cast<int32_t>(layer.channels),
               layer.bits,
               layer.flip,
               layer.map,
               weights->overlapping != 0,
               weights->sum_planes + 1,
               layer.scratch,
               {0, layer.shape.vectors}});
}

void count_sliced(const Layer& layer, bool with_readers) {
  const SlicedLayer* weights = static_cast<const SlicedLayer*>(layer.weights);
  const int32_t planes = weights->sum_planes + 1;
  sliced_vectors(*layer.kernels->sliced, layer.shape)
      .count({layer.shape,
              static_cast<int32_t>(layer.channels),
              weights,
              layer.map,
              layer.scratch,
              layer.counts,
              planes,
              planes,
              false,
              planes,
              nullptr,
              layer.readers,
              with_readers ? static_cast<int32_t>(reader_count(layer)) : 0,
              nullptr,
              0,
              {0, band_count(layer.shape) * weights->group_count}});
}

// ---- what is common to them ----

void count(const Layer& layer) {
  layer.is_sliced ? count_sliced(layer, false) : count_popcount(layer);
}

void run_complete(const Layer& layer) {
  layer.is_sliced ? surround_sliced(layer) : surround_popcount(layer);
  layer.is_sliced ? count_sliced(layer, true) : count_popcount(layer);
}

// Finds the family. Fails for a name that is unknown or a shape that the family does not take.
int open_layer(const char* name, Layer* layer) {
  const int64_t words = layer->channels / 32;
  layer->is_sliced = name != nullptr && strcmp(name, "sliced") == 0;
  if (name != nullptr && strcmp(name, "popcount") == 0) {
    layer->family = layer->kernels->families;
    while (!layer->family->suits(words, layer->height, layer->width)) ++layer->family;
    return BNN_OK;
  }
  if (!layer->is_sliced) {
    return fail(BNN_EARGUMENT, "bnn_measure_layer: expected popcount or sliced, found '%.40s'",
                name == nullptr ? "NULL" : name);
  }
  if (layer->kernels->sliced == nullptr ||
      !make_sliced_shape(layer->kernels->sliced->sizes, layer->height, layer->width,
                         &layer->shape) ||
      !sliced_takes(layer->channels)) {
    return fail(BNN_EUNSUPPORTED,
                "bnn_measure_layer: no sliced kernel of '%s' takes %lld channels on a map of "
                "%lldx%lld; measure popcount",
                layer->kernels->name, static_cast<long long>(layer->channels),
                static_cast<long long>(layer->height), static_cast<long long>(layer->width));
  }
  return BNN_OK;
}

// Cuts the layer's memory from the workspace, which may be NULL: then only the sizes count.
void place_layer(void* workspace, Layout* layout, Layer* layer) {
  const int64_t words = layer->channels / 32, pixels = layer->height * layer->width;
  const auto take = [&](int64_t count, size_t size) -> void* {
    const size_t offset = layout->take(count, size);
    return workspace == nullptr ? nullptr : at<char>(workspace, offset);
  };
  layer->limit = static_cast<uint16_t*>(take(layer->channels + kGrowth, sizeof(uint16_t)));
  layer->flip = static_cast<uint32_t*>(take(words, sizeof(uint32_t)));
  if (!layer->is_sliced) {
    layer->weights = take(1, layer->family->weight_bytes(words));
    layer->map = take((layer->height + 2) * (layer->width + 2) * words * 4 + kSlack, 1);
    layer->counts = take(pixels * kGrowth, sizeof(uint16_t));
    const size_t scratch = layer->family->scratch_bytes(words, layer->height, layer->width);
    layer->scratch = take(static_cast<int64_t>(scratch) + kSlack, 1);
    layer->bits = take(pixels, sizeof(uint32_t));
    layer->sources = take(words / 2 * pixels * kGrowth, sizeof(uint16_t));
    return;
  }
  const size_t plane = static_cast<size_t>(plane_bytes(*layer));
  layer->weights = take(1, sliced_layer_bytes(*layer->kernels->sliced, layer->weight, words));
  layer->map = take(element_vectors(layer->shape, layer->channels),
                    static_cast<size_t>(layer->shape.vector_bytes));
  layer->counts = take(kGrowth * (kSumPlanesMost + 1), plane);
  layer->scratch = take(2 * (kSumPlanesMost + 1), plane);
  layer->bits = take(layer->channels, plane);
  layer->readers = static_cast<SlicedReader*>(take(reader_count(*layer), sizeof(SlicedReader)));
  layer->read = take(reader_count(*layer) * kGrowth, plane);
}

// Bytes of a fixed pseudo-random sequence: time does not depend on them, but zeros look odd.
void fill_random(void* to, int64_t bytes) {
  uint64_t state = 88172645463325252u;
  for (int64_t i = 0; i < bytes; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    static_cast<uint8_t*>(to)[i] = static_cast<uint8_t>(state >> 32);
  }
}

void fill_layer(Layer* layer) {
  const int64_t words = layer->channels / 32, pixels = layer->height * layer->width;
  for (int64_t i = 0; i < layer->channels + kGrowth; ++i)
    layer->limit[i] = static_cast<uint16_t>(kTaps * layer->channels / 2);
  memset(layer->flip, 0, static_cast<size_t>(words) * sizeof *layer->flip);
  if (!layer->is_sliced) {
    layer->family->pack_weights(layer->weight, words, layer->weights);
    fill_random(layer->bits, pixels * 4);
    fill_random(layer->sources, words / 2 * pixels * kGrowth * 2);
    surround_popcount(*layer);
    return;
  }
  write_sliced_layer(*layer->kernels->sliced, layer->shape, layer->weight, words,
                     static_cast<SlicedLayer*>(layer->weights));
  fill_random(layer->bits, layer->channels * plane_bytes(*layer));
  for (int64_t i = 0; i < reader_count(*layer); ++i) {
    layer->readers[i] = {layer->limit,
                         static_cast<char*>(layer->read) + i * kGrowth * plane_bytes(*layer)};
  }
  surround_sliced(*layer);
}

// Each entry of a list adds one bit to every position; behind four classes come five additions or
// subtractions of sums, behind the last ones three. See GroupSums.
int64_t count_adders(const Layer& layer) {
  if (!layer.is_sliced) return 0;
  const SlicedLayer& lists = *static_cast<const SlicedLayer*>(layer.weights);
  int64_t sums = 0;
  for (int32_t i = 0; i < lists.group_count; ++i)
    sums += 5 * (1 << (lists.groups[i].outputs - 2)) - 2;
  return (lists.entry_count + sums * lists.sum_planes) * 8 * plane_bytes(layer);
}

constexpr int32_t kMostFamilies = 8;

}  // namespace
}  // namespace bnn

int bnn_measure_layer(const uint32_t* weight, int32_t channels, int32_t height, int32_t width,
                      bnn_layer_timing* timings, int32_t timing_count, int32_t runs,
                      void* workspace, size_t* workspace_bytes) {
  using namespace bnn;
  if (check_pointer("bnn_measure_layer: weight", weight) != BNN_OK ||
      check_range("bnn_measure_layer: channels", channels, 32, kMaxCount / kTaps) != BNN_OK ||
      check_range("bnn_measure_layer: height", height, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_measure_layer: width", width, 1, kMaxSide) != BNN_OK ||
      check_pointer("bnn_measure_layer: timings", timings) != BNN_OK ||
      check_range("bnn_measure_layer: timing_count", timing_count, 1, kMostFamilies) != BNN_OK ||
      check_range("bnn_measure_layer: runs", runs, 1, kMostRuns) != BNN_OK ||
      check_pointer("bnn_measure_layer: workspace_bytes", workspace_bytes) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (channels % 32 != 0) {
    return fail(BNN_EARGUMENT, "bnn_measure_layer: channels: expected a multiple of 32, found %d",
                channels);
  }
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  Layer layers[kMostFamilies];
  Layout layout;
  for (int32_t i = 0; i < timing_count; ++i) {
    Layer layer = {};
    layer.kernels = kernels;
    layer.channels = channels;
    layer.height = height;
    layer.width = width;
    layer.weight = weight;
    const int status = open_layer(timings[i].family, &layer);
    if (status != BNN_OK) return status;
    place_layer(workspace, &layout, &layer);
    layers[i] = layer;
  }
  if (workspace == nullptr) {
    *workspace_bytes = layout.bytes();
    return BNN_OK;
  }
  if (!is_aligned(workspace) || *workspace_bytes < layout.bytes()) {
    return fail(BNN_ESIZE,
                "bnn_measure_layer: expected a workspace of %zu bytes aligned to %d, found %zu at "
                "%p; ask with workspace NULL",
                layout.bytes(), BNN_ALIGNMENT, *workspace_bytes, workspace);
  }
  for (int32_t i = 0; i < timing_count; ++i) {
    if (check_pointer("bnn_measure_layer: counting", timings[i].counting) != BNN_OK ||
        check_pointer("bnn_measure_layer: complete", timings[i].complete) != BNN_OK) {
      return BNN_EARGUMENT;
    }
    fill_layer(&layers[i]);
    timings[i].full_adders = count_adders(layers[i]);
  }
  for (int32_t run = 0; run < runs; ++run) {
    for (int32_t i = 0; i < timing_count; ++i) {
      run_complete(layers[i]);
      double start = read_clock();
      count(layers[i]);
      timings[i].counting[run] = read_clock() - start;
      start = read_clock();
      run_complete(layers[i]);
      timings[i].complete[run] = read_clock() - start;
    }
  }
  return BNN_OK;
}
