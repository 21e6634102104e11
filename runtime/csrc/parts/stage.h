// The layout of a prepared stage, shared by the file that writes it and the file that runs it.
#ifndef BNN_STAGE_H_
#define BNN_STAGE_H_

#include "parts/part.h"

namespace bnn {

constexpr int64_t kTransposeRows = 16;  // pixels brought into channel order at a time

// Where a bit-sliced run finds its memory.
struct SlicedPlaces {
  // Offsets inside the common workspace.
  uint64_t bits;    // planes of the channels of each layer
  uint64_t counts;  // of two blocks
  uint64_t bytes;   // of both
  // Offsets inside a member's workspace.
  uint64_t elements;
  uint64_t base;        // sums of all elements
  uint64_t thresholds;  // float [layer_count]
  uint64_t planes;      // void* [layer_count]
  uint64_t readers;     // SlicedReader [layer_count]
  uint64_t map;         // float [height][width] of tiles
};

struct StageRecord {
  PartHeader header;
  int32_t channels_in, height, width, padding, layer_count, block_count;
  int32_t is_sliced;  // the whole stage runs in the bit-sliced domain, see parts/stage_sliced.cpp
  int32_t count_planes;  // of its counts
  // Offsets inside the part.
  uint64_t layers;  // LayerRecord [layer_count]
  uint64_t totals;  // int32 [block_count]: S, a produced channel is S - 2 * its count
  // Offsets inside the common workspace.
  uint64_t input_bits;  // uint32 [layer_count][height * width][channels_in / 32]
  uint64_t counts;      // uint16 [block_count][height * width][64]
  // Offsets inside a member's workspace.
  uint64_t tile;     // float [kTransposeRows][channels_in]
  uint64_t map;      // uint32 [height + 2][width + 2][words of the widest layer]
  uint64_t scratch;  // of the counting kernels
  // Bit-sliced, in place of those: for one image,
  SlicedPlaces alone;
  // and for several together: so many in the same planes (1: each its own; 0: one after another),
  // if `least` of them are there; so many groups go through a layer before the next one.
  SlicedPlaces together;
  int32_t images, least, groups, tile_vector_bytes, tile_row_bits;
  int32_t is_stacked;  // those maps lie one below the other
};

struct LayerRecord {
  int32_t words;   // channels / 32
  int32_t blocks;  // produced blocks that this layer reads
  int32_t target;  // block that it writes
  int32_t is_improvement;
  int32_t family;       // index into the implementation's families
  int32_t first_plane;  // bit-sliced: channels of all layers before
  // Offsets inside the part.
  uint64_t threshold;  // float [channels_in], for the stage's inputs
  uint64_t limit;  // uint16 [64 * blocks], for produced channels: x >= threshold is count <= limit
  uint64_t flip;   // uint32 [words]
  uint64_t weights;     // as the family packs them; the lists of a bit-sliced stage
  uint64_t correction;  // int16 [16][64], for padding 0
  uint64_t lists;       // of a run of several images; those of one if it is bit-sliced
};

// The transition that pools the output of a stage, and how it runs; each image has a common
// workspace of its own, one behind the other.
struct Pooling {
  const void* transition;
  const Run* run;

  int64_t image_bytes() const {
    return static_cast<int64_t>(static_cast<const PartHeader*>(transition)->common_bytes);
  }
  Run run_of(int64_t image) const {
    Run one = *run;
    one.workspace.common = static_cast<char*>(one.workspace.common) + image * image_bytes();
    return one;
  }
};

// parts/floats.cpp: a transition's shares. The pool of one channel, from [height][width]; the plane
// it goes to, of floats or, if there is an inverse step, of levels; the convolution of all planes.
void pool_channel(const void* transition, const Run& run, int64_t channel, const float* x);
template <typename T>
T* transition_plane(const void* transition, const Workspace& workspace, int64_t channel);
const float* transition_scale(const void* transition);  // [channels]
const float* transition_shift(const void* transition);
float transition_inverse_step(const void* transition);  // 0: floats
bool pools_halves(const void* transition);              // 2x2, without padding
void convolve_planes(const void* transition, const Run& run, float* y);

// parts/stage_sliced.cpp
struct SlicedShape;
// channels_read: of all layers; total: the largest count.
SlicedPlaces plan_sliced_workspace(const SlicedShape& shape, int32_t widest, int64_t channels_read,
                                   const StageRecord& stage, Layout* common, Layout* member);
// The planes of several images that run together; false if these sizes are impossible.
bool make_together_shape(const StageRecord& stage, const Kernels& kernels, SlicedShape* shape);
// One image alone. With pooling the output goes there, and y is not used.
void run_sliced_stage(const void* part, const Run& run, const float* x, float* y,
                      const Pooling* pooling);
// Several, layer by layer; for stages whose `images` is not 0.
void run_sliced_together(const void* part, const Run& run, int64_t n, const float* x, float* y,
                         const Pooling* pooling);

}  // namespace bnn
#endif  // BNN_STAGE_H_
