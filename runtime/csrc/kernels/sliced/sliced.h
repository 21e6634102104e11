// The bit-sliced family: a lane is a position, and a channel is a plane of one bit per position.
//
// mismatches = A - 2 X + N with A the sum of all elements around a position (an element is a
// channel at a tap), X the sum of those whose weight is 1, N the number of such weights. Elements
// with equal weights in a group of outputs are counted once for the whole group, by carry-save
// adders; see kernels/sliced/lists.h. All arithmetic is modulo a power of two above the largest
// count, so counts come out as plain unsigned planes.
//
// Layouts
// - plane: V vectors; row y of the map is lane y / V of vector y % V, so that the rows above and
//   below a vector are its neighbours. Lanes have 16, 32 or 64 bits or, where this takes fewer
//   vectors, as many as a row: then they lie close, across the words of a vector.
// - elements of a layer: rows u = 0 .. V + 1 of 3 * channels + 1 vectors; row u holds vector u - 1
//   of all planes, for each channel the copies seen at dx = -1, 0, +1, and a vector of zeros behind
//   them. NEON: bands of the four rows that two vectors see, interleaved.
// - counts of a block of 64 outputs: [V][64][planes] vectors.
#ifndef BNN_SLICED_H_
#define BNN_SLICED_H_

#include "core/kernels.h"
#include "kernels/sliced/lists.h"

namespace bnn {

constexpr int kPlaneBytesMost = 1024;  // of V vectors
constexpr int kCloseBytesMost = 512;   // of V vectors with close rows
constexpr int kCloseWidthLeast = 9;    // of a map with close rows
constexpr int kSumPlanesLeast = 9;     // planes of a sum X that kernels are compiled for
constexpr int kSumPlanesMost = 14;
constexpr int kGroupsMost = 16;  // groups of 64 outputs

constexpr int kTogether = 8;  // images that run together at most

// Maps of several images in one plane: tiles, row after row of them, with padding between them.
// Pitches are even, so that windows of a 2x2 pool begin at even rows and columns of all maps.
struct SlicedTiles {
  int32_t images, columns;  // 1: the plane is one map
  int32_t height, width;    // of a map
  int32_t row_pitch, column_pitch;
};

struct SlicedShape {
  int32_t height, width;
  int32_t row_bits;  // of a lane: 16, 32, 64 or, close rows, the width made even
  int32_t vectors;   // V
  int32_t vector_bytes;
  SlicedTiles tiles = {1, 1, 0, 0, 0, 0};
};

inline int64_t plane_bytes(const SlicedShape& shape) {
  return int64_t{shape.vectors} * shape.vector_bytes;
}

// The columns of row y that lie in a map, one bit each.
inline uint64_t columns_inside(const SlicedShape& shape, int64_t y) {
  const SlicedTiles& tiles = shape.tiles;
  if (tiles.images == 1) return ~uint64_t{0} >> (64 - shape.width);
  if (y % tiles.row_pitch >= tiles.height) return 0;
  uint64_t bits = 0;
  for (int32_t i = 0; i < tiles.columns; ++i)
    bits |= (~uint64_t{0} >> (64 - tiles.width)) << i * tiles.column_pitch;
  return bits;
}

struct SlicedGroup {
  int32_t first, outputs;  // outputs first .. first + outputs - 1
  int32_t size;            // entries of a class
  int32_t entries;         // index of the group's first entry in the list
};

// count = (base[odd] - 2 * sum) ^ complement, where the sum starts with `start`.
struct SlicedOutput {
  uint16_t start;
  uint8_t odd, complement;
};

inline bool has_close_rows(const SlicedShape& shape) { return 64 % shape.row_bits != 0; }

// A layer's weights; its list of entries (uint16) follows.
struct SlicedLayer {
  int32_t group_count, sum_planes;
  int32_t entry_count;
  int32_t overlapping;  // how elements lie, see below
  SlicedGroup groups[kGroupsMost];
  SlicedOutput outputs[kGrowth];
};

// One input channel, compared for all layers: planes[layer] = x >= thresholds[layer].
struct SlicedCompareJob {
  SlicedShape shape;
  const float* x;  // [height][width]
  int32_t layer_count;
  const float* thresholds;
  void* const* planes;
};

// Vectors that are counted at the same time, a band, and the rows of elements that lie interleaved.
// NEON counts two: decoders limit the Cortex-A72, and an entry's address then serves two loads from
// one cache line. A row lies in two bands.
#if defined(__aarch64__)
constexpr int64_t kBand = 2, kBandRows = kBand + 2;
#else
constexpr int64_t kBand = 1, kBandRows = 1;
#endif
inline int64_t band_count(const SlicedShape& shape) { return (shape.vectors + kBand - 1) / kBand; }
inline Range band_vectors(const SlicedShape& shape, int64_t begin, int64_t end) {
  return {begin * kBand, end * kBand < shape.vectors ? end * kBand : shape.vectors};
}
inline int64_t element_vectors(const SlicedShape& shape, int64_t channels) {
  const int64_t rows = kBand > 1 ? band_count(shape) * kBandRows : int64_t{shape.vectors} + 2;
  return rows * (3 * channels + 1);
}

// Entries are indices of vectors. x86 takes them in the units that addresses are scaled by if 16
// bits hold them: layers of fewer than 13 planes have fewer than 2^13 elements.
constexpr int32_t entry_shift(int32_t sum_planes) { return kBand == 1 && sum_planes < 13 ? 3 : 0; }

inline ElementOrder element_order(int64_t channels, int32_t sum_planes) {
  if (kBand > 1) return {1, kBandRows, 3 * channels * kBandRows, 0};
  const int32_t shift = entry_shift(sum_planes);
  return {(3 * channels + 1) << shift, int64_t{1} << shift, 3 * channels << shift, 0};
}

// Planes of at most 15 rows in one vector, of 16 bits in 32 bytes or 32 bits in 64, need no copy
// for each row of the window: with a row of padding above, which is also the one below the plane
// before, the vectors that begin 0, 1 and 2 rows later are the elements at dy = -1, 0, +1. A third
// of the memory holds them, most of it in the L1 cache, for loads that now and then cross a line.
// Entries count bytes of a row: the same lists serve both sizes. Where 16 bits do not hold them
// all, those in the second part of a class begin `later`: entries of a class are in the order of
// memory.
inline ElementOrder overlapping_order(int64_t channels) {
  const int64_t zero = 16 * (3 * channels + 1);  // behind a vector of padding
  return {1, 16, zero, zero > UINT16_MAX ? zero - UINT16_MAX : 0};
}
bool has_overlapping_rows(const SlicedShape& shape);
// Weights whose classes are too skewed do not, though they can: see write_sliced_layer.
bool can_overlap(const SlicedShape& shape, int64_t channels);

struct SlicedSpreadJob {
  SlicedShape shape;
  int32_t padding, channels;
  const void* bits;      // planes [channels]; what lies outside the map is ignored
  const uint32_t* flip;  // of the channels
  void* elements;        // see above
  bool overlapping;
  int32_t base_planes;  // sum_planes + 1
  void* base;           // [V][2][base_planes]: A and A + 1
  Range vectors;        // those whose counts are wanted, whole bands: rows first .. end + 1
};

// A later layer that compares the channels of this block.
struct SlicedReader {
  const uint16_t* limit;  // [64]
  void* bits;             // planes [64]: count <= limit
};

struct SlicedCountJob {
  SlicedShape shape;
  int32_t channels;
  const SlicedLayer* layer;
  const void* elements;
  const void* base;
  void* block;  // [V][64][block_planes]
  int32_t block_planes;
  int32_t planes;             // of the resulting counts
  bool add;                   // add what is in the block
  int32_t keep_planes;        // write that many planes there; 0: none
  const int16_t* correction;  // [16][64] for padding 0, else NULL; see core/border.h
  const SlicedReader* readers;
  int32_t reader_count;
  float* y;  // [64][height * width]: total - 2 * count; NULL: not wanted
  int32_t total;
  Range items;  // of band_count * group_count: band after band, group after group
  // Of tiles: the images that are there, and from one's y to the next one's.
  int32_t images = 1;
  int64_t image_pitch = 0;
};

// What the transition makes of final counts, see PoolJob: the 2x2 max pool of scale * x + shift
// with x = total - 2 * count, rectified.
struct SlicedPoolJob {
  SlicedShape shape;
  const void* block;                    // [V][64][block_planes]
  int32_t block_planes, planes, total;  // planes: see pooled_planes
  Range outputs;
  const float* scale;  // [64]
  const float* shift;
  void* const* y;      // [64] planes of (height / 2) * (width / 2) floats, or of levels
  float inverse_step;  // of levels, 0: floats
  int32_t images = 1;  // see SlicedCountJob
  int64_t image_pitch = 0;
};

// Kernels for one size of vectors.
struct SlicedVectors {
  int32_t bytes;
  void (*spread)(const SlicedSpreadJob& job);
  void (*count)(const SlicedCountJob& job);
  void (*pool)(const SlicedPoolJob& job);
};

// What shapes and the choice of the family depend on, for one instruction set; known on every CPU.
struct SlicedSizes {
  int32_t full, half;  // bytes of a vector; half: for maps that fit one of it, 0: none
  // Groups have 4 outputs in layers of up to four_words words, 5 up to five_words, else 6: larger
  // ones have shorter lists and more Gray steps.
  int32_t four_words, five_words;
  int32_t widest;  // channels of the widest layer that is faster in this family
  // Percent of the lanes of such vectors that a map uses at least to be faster in this family:
  // measured, see README.md.
  int32_t least_full, least_half;
  // Tiles are faster than popcount from so many eighths of a vector's positions on, if so many
  // quarters of its images are there.
  int32_t tile_eighths, tile_quarters;
};
constexpr SlicedSizes kAvx2Sizes = {32, 0, 2, 5, 3600, 35, 0, 3, 2};
constexpr SlicedSizes kAvx512Sizes = {64, 32, 2, 5, 3600, 50, 55, 4, 4};
constexpr SlicedSizes kNeonSizes = {16, 0, 2, 10, 3600, 50, 0, 4, 2};

struct SlicedKernels {
  void (*compare)(const SlicedCompareJob& job);
  const SlicedVectors* half;  // of sizes.half bytes, or NULL
  SlicedVectors full;
  SlicedSizes sizes;
};

inline int32_t plane_count(int64_t largest) {
  int32_t planes = 0;
  while (largest >> planes != 0) ++planes;
  return planes;
}
// That the pool is compiled for.
inline int32_t pooled_planes(int32_t planes) { return planes <= 12 ? 12 : planes <= 14 ? 14 : 16; }

extern const SlicedKernels kAvx2Sliced;
extern const SlicedKernels kAvx512Sliced;
extern const SlicedVectors kAvx512SlicedHalf;
extern const SlicedKernels kNeonSliced;

// kernels/sliced/sliced.cpp
bool make_sliced_shape(const SlicedSizes& sizes, int64_t height, int64_t width, SlicedShape* shape);
// Maps of several images in one vector; false if not even two fit.
bool make_tiled_shape(int32_t vector_bytes, int32_t row_bits, int32_t height, int32_t width,
                      SlicedShape* shape);
// Maps of several images one below the other, in as many vectors as they need; false if they are
// too many for a plane.
bool make_stacked_shape(const SlicedSizes& sizes, int32_t images, int32_t height, int32_t width,
                        SlicedShape* shape);
const SlicedVectors& sliced_vectors(const SlicedKernels& kernels, const SlicedShape& shape);
inline bool sliced_takes(int64_t channels) {
  return kTaps * channels < int64_t{2} << kSumPlanesMost;
}
// Bytes of a layer's SlicedLayer with its list.
size_t sliced_layer_bytes(const SlicedKernels& kernels, const uint32_t* weight, int64_t words);
void write_sliced_layer(const SlicedKernels& kernels, const SlicedShape& shape,
                        const uint32_t* weight, int64_t words, SlicedLayer* layer);

}  // namespace bnn
#endif  // BNN_SLICED_H_
