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
//
// Several images go through a layer one after the other, or some of them in the same planes, before
// the next layer begins: its lists come from memory once.
#include <string.h>

#include "kernels/sliced/sliced.h"
#include "parts/stage.h"

namespace bnn {
namespace {

// The images that share planes, of those that run together.
struct Group {
  int64_t first, images;
  void* common;
};

// What runs together: images [n] in groups, each with planes of its own.
struct Work {
  const StageRecord& stage;
  const void* part;
  const SlicedPlaces& places;
  const SlicedShape& shape;
  const Run& run;
  const float* x;
  float* y;
  const Pooling* pooling;
  int64_t n, group_images;

  const LayerRecord* layers() const { return at<LayerRecord>(part, stage.layers); }
  const SlicedLayer* lists(int32_t layer) const {
    return at<SlicedLayer>(part, layers()[layer].lists);
  }
  int64_t pixels() const { return int64_t{stage.height} * stage.width; }
  int64_t groups() const { return (n + group_images - 1) / group_images; }
  int64_t output_floats() const {
    return (stage.channels_in + int64_t{kGrowth} * stage.block_count) * pixels();
  }
  Group group(int64_t i) const {
    const int64_t first = i * group_images, left = n - first;
    return {first, left < group_images ? left : group_images,
            static_cast<char*>(run.workspace.common) + i * static_cast<int64_t>(places.bytes)};
  }
  // The planes that a layer reads.
  char* bits(const Group& group, int32_t layer) const {
    return at<char>(group.common, places.bits) + layers()[layer].first_plane * plane_bytes(shape);
  }
};

// Planes that an improvement reads of the block before it.
int32_t kept_planes(const SlicedLayer& improvement, int32_t words, int32_t total) {
  const int32_t planes = plane_count(total + kTaps * 32 * words);
  const int32_t base = improvement.sum_planes + 1;
  return planes > base ? planes : base;
}

// One channel of all images of a group: theirs as it is, or their maps as tiles of one.
const float* join_maps(const Work& work, const Group& group, int64_t channel) {
  const SlicedTiles& tiles = work.shape.tiles;
  const int64_t pixels = work.pixels(), pitch = work.stage.channels_in * pixels;
  const float* from = work.x + group.first * pitch + channel * pixels;
  if (tiles.images == 1) return from;
  float* map = at<float>(work.run.workspace.own, work.places.map);
  for (int64_t image = 0; image < group.images; ++image) {
    float* to = map + image / tiles.columns * tiles.row_pitch * work.shape.width +
                image % tiles.columns * tiles.column_pitch;
    for (int64_t row = 0; row < tiles.height; ++row) {
      memcpy(to + row * work.shape.width, from + image * pitch + row * tiles.width,
             static_cast<size_t>(tiles.width) * sizeof *to);
    }
  }
  return map;
}

// Compares the inputs for all layers and hands them on.
void compare_inputs(const Work& work, const Group& group) {
  const StageRecord& stage = work.stage;
  const LayerRecord* layers = work.layers();
  const Run& run = work.run;
  const int64_t pixels = work.pixels();
  float* thresholds = at<float>(run.workspace.own, work.places.thresholds);
  void** planes = at<void*>(run.workspace.own, work.places.planes);
  const Range channels = run.team.share(stage.channels_in);
  for (int64_t channel = channels.begin; channel < channels.end; ++channel) {
    for (int32_t i = 0; i < stage.layer_count; ++i) {
      thresholds[i] = at<float>(work.part, layers[i].threshold)[channel];
      planes[i] = work.bits(group, i) + channel * plane_bytes(work.shape);
    }
    const float* map = join_maps(work, group, channel);
    run.kernels->sliced->compare({work.shape, map, stage.layer_count, thresholds, planes});
    run.mark(kBinarize);
    for (int64_t image = group.first; image < group.first + group.images; ++image) {
      const float* from = work.x + (image * stage.channels_in + channel) * pixels;
      if (work.pooling != nullptr) {
        pool_channel(work.pooling->transition, work.pooling->run_of(image), channel, from);
      } else {
        memcpy(work.y + image * work.output_floats() + channel * pixels, from,
               static_cast<size_t>(pixels) * sizeof *from);
        run.mark(kWrite);
      }
    }
  }
}

// Pools this member's share of a block of final counts.
void pool_block(const Work& work, const SlicedVectors& vectors, const Group& group,
                const void* block, int32_t first, int32_t total) {
  const Pooling& pooling = *work.pooling;
  const float inverse_step = transition_inverse_step(pooling.transition);
  const Run run = pooling.run_of(group.first);
  void* y[kGrowth];
  for (int32_t i = 0; i < kGrowth; ++i) {
    if (inverse_step > 0.0f) {
      y[i] = transition_plane<uint8_t>(pooling.transition, run.workspace, first + i);
    } else {
      y[i] = transition_plane<float>(pooling.transition, run.workspace, first + i);
    }
  }
  const int64_t element = inverse_step > 0.0f ? 1 : sizeof(float);
  vectors.pool({work.shape, block, work.stage.count_planes, pooled_planes(plane_count(total)),
                total, run.team.share(kGrowth), transition_scale(pooling.transition) + first,
                transition_shift(pooling.transition) + first, y, inverse_step,
                static_cast<int32_t>(group.images), pooling.image_bytes() / element});
  run.mark(kPool);
}

// One layer of one group; its block of counts is where the caller says.
void run_layer(const Work& work, const SlicedVectors& vectors, const Group& group, int32_t index,
               int32_t total, void* block) {
  const StageRecord& stage = work.stage;
  const LayerRecord* layers = work.layers();
  const LayerRecord& layer = layers[index];
  const SlicedLayer* lists = work.lists(index);
  const Run& run = work.run;
  const int32_t channels = layer.words * 32;
  const int64_t group_count = lists->group_count;
  void* elements = at<void>(run.workspace.own, work.places.elements);
  void* base = at<void>(run.workspace.own, work.places.base);
  const Range items = run.team.share(band_count(work.shape) * group_count);
  if (items.begin < items.end) {
    vectors.spread(
        {work.shape, stage.padding, channels, work.bits(group, index),
         at<uint32_t>(work.part, layer.flip), elements, lists->overlapping != 0,
         lists->sum_planes + 1, base,
         band_vectors(work.shape, items.begin / group_count, (items.end - 1) / group_count + 1)});
  }
  run.mark(kSpread);
  // The next layer may change the counts; then it alone reads them as they are.
  const bool is_final = index + 1 == stage.layer_count || !layers[index + 1].is_improvement;
  const int32_t end = is_final ? stage.layer_count : index + 2;
  const int32_t first = stage.channels_in + layer.target * kGrowth;
  SlicedReader* readers = at<SlicedReader>(run.workspace.own, work.places.readers);
  for (int32_t reader = index + 1; reader < end; ++reader) {
    readers[reader - index - 1] = {
        at<uint16_t>(work.part, layers[reader].limit) + layer.target * kGrowth,
        work.bits(group, reader) + first * plane_bytes(work.shape)};
  }
  const int32_t planes = plane_count(total);
  const int32_t kept = !is_final
                           ? kept_planes(*work.lists(index + 1), layers[index + 1].words, total)
                       : work.pooling != nullptr ? pooled_planes(planes)
                                                 : 0;
  float* y = is_final && work.pooling == nullptr
                 ? work.y + group.first * work.output_floats() + first * work.pixels()
                 : nullptr;
  vectors.count({work.shape, channels, lists, elements, base, block, stage.count_planes, planes,
                 layer.is_improvement != 0, kept,
                 stage.padding == 0 ? at<int16_t>(work.part, layer.correction) : nullptr, readers,
                 end - index - 1, y, total, items, static_cast<int32_t>(group.images),
                 work.output_floats()});
  run.mark(kCount);
}

void run_work(const Work& work) {
  const StageRecord& stage = work.stage;
  const LayerRecord* layers = work.layers();
  const Run& run = work.run;
  const SlicedVectors& vectors = sliced_vectors(*run.kernels->sliced, work.shape);
  const int64_t block_bytes =
      plane_bytes(work.shape) * kGrowth * static_cast<int64_t>(stage.count_planes);
  if (work.shape.tiles.images > 1) {
    memset(at<float>(run.workspace.own, work.places.map), 0,
           sizeof(float) * static_cast<size_t>(work.shape.height * work.shape.width));
  }
  for (int64_t i = 0; i < work.groups(); ++i) compare_inputs(work, work.group(i));
  int32_t total = 0;  // the largest count of the block
  bool has_met = false;
  for (int32_t index = 0; index < stage.layer_count; ++index) {
    const LayerRecord& layer = layers[index];
    total = kTaps * 32 * layer.words + (layer.is_improvement ? total : 0);
    // Two blocks take turns: one may still be pooled while the next is counted.
    const auto block = [&](const Group& group) {
      return at<void>(group.common,
                      work.places.counts + static_cast<uint64_t>(layer.target % 2 * block_bytes));
    };
    if (!has_met) run.team.meet();  // the planes of all channels are there
    has_met = false;
    for (int64_t i = 0; i < work.groups(); ++i) {
      const Group group = work.group(i);
      run_layer(work, vectors, group, index, total, block(group));
    }
    const bool is_final = index + 1 == stage.layer_count || !layers[index + 1].is_improvement;
    if (!is_final || work.pooling == nullptr) continue;
    run.team.meet();
    has_met = true;
    const int32_t first = stage.channels_in + layer.target * kGrowth;
    for (int64_t i = 0; i < work.groups(); ++i) {
      const Group group = work.group(i);
      pool_block(work, vectors, group, block(group), first, total);
    }
  }
}

}  // namespace

SlicedPlaces plan_sliced_workspace(const SlicedShape& shape, int32_t widest, int64_t channels_read,
                                   const StageRecord& stage, Layout* common, Layout* member) {
  const size_t vector_bytes = static_cast<size_t>(shape.vector_bytes);
  SlicedPlaces places = {};
  places.bits = common->take(channels_read, static_cast<size_t>(plane_bytes(shape)));
  places.counts = common->take(2 * shape.vectors * kGrowth * stage.count_planes, vector_bytes);
  places.bytes = common->bytes();
  places.elements = member->take(element_vectors(shape, widest), vector_bytes);
  places.base = member->take(shape.vectors * 2 * (kSumPlanesMost + 1), vector_bytes);
  places.thresholds = member->take(stage.layer_count, sizeof(float));
  places.planes = member->take(stage.layer_count, sizeof(void*));
  places.readers = member->take(stage.layer_count, sizeof(SlicedReader));
  if (shape.tiles.images > 1) {
    places.map = member->take(int64_t{shape.height} * shape.width, sizeof(float));
  }
  return places;
}

bool make_together_shape(const StageRecord& stage, const Kernels& kernels, SlicedShape* shape) {
  const SlicedSizes& sizes = kernels.sliced->sizes;
  if (stage.images == 1) return make_sliced_shape(sizes, stage.height, stage.width, shape);
  if (stage.is_stacked)
    return make_stacked_shape(sizes, stage.images, stage.height, stage.width, shape);
  const bool is_size = stage.tile_vector_bytes == sizes.full ||
                       (sizes.half > 0 && stage.tile_vector_bytes == sizes.half);
  const bool is_row = stage.tile_row_bits == 16 || stage.tile_row_bits == 32;
  return is_size && is_row &&
         make_tiled_shape(stage.tile_vector_bytes, stage.tile_row_bits, stage.height, stage.width,
                          shape) &&
         shape->tiles.images == stage.images;
}

void run_sliced_stage(const void* part, const Run& run, const float* x, float* y,
                      const Pooling* pooling) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  SlicedShape shape;
  make_sliced_shape(run.kernels->sliced->sizes, stage.height, stage.width, &shape);
  run_work({stage, part, stage.alone, shape, run, x, y, pooling, 1, 1});
}

void run_sliced_together(const void* part, const Run& run, int64_t n, const float* x, float* y,
                         const Pooling* pooling) {
  const StageRecord& stage = *static_cast<const StageRecord*>(part);
  SlicedShape shape;
  make_together_shape(stage, *run.kernels, &shape);
  run_work({stage, part, stage.together, shape, run, x, y, pooling, n, stage.images});
}

}  // namespace bnn
