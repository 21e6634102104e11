// Stand-alone check of the library through its C ABI.
// Every implementation that this machine can run is compared with generic; its vectors and the
// choice of kernels are tested operation by operation.
//
// Fixed seeds, one line per check, exit code 0 if all agree. Runs where there is no Python: under
// an emulator, on a board, in a sanitizer build. With the argument `brief` it checks the
// implementation that this machine would choose, on small maps: whether its instructions exist
// there.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>

#include "bnn.h"
#include "tests/internals/report.h"
#include "tests/selftest_floats.h"
#include "tests/selftest_resize.h"
#include "tests/selftest_tools.h"

namespace {

const float kOdd[7] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 1e-42f, -1e-42f};

void check_pack(const char* implementation, size_t channels) {
  Random random = {channels};
  Memory memory;
  const size_t rows = 19;
  float* x = memory.floats(rows * channels, &random);
  float* threshold = memory.floats(channels, &random, 0.5f);
  for (size_t i = 0; i < rows * channels; i += 5) x[i] = kOdd[i % 7];
  for (size_t i = 0; i < channels; i += 3) threshold[i] = i % 2 ? 0.0f : kOdd[3 + i / 2 % 2];
  uint32_t* flip = memory.words(channels / 32, &random);
  char what[64];
  snprintf(what, sizeof what, "pack %zu channels", channels);
  compare(implementation, what, rows * channels / 8, &memory, [&](void* words) {
    require(bnn_pack(x, threshold, flip, rows, static_cast<int64_t>(channels),
                     static_cast<uint32_t*>(words)),
            what);
  });
}

void check_convolution(const char* implementation, size_t channels, size_t height, size_t width,
                       size_t outputs, int32_t padding) {
  Random random = {channels * 31 + height};
  Memory memory;
  const size_t words = channels / 32;
  uint32_t* x = memory.words(2 * height * width * words, &random);
  uint32_t* weight = memory.words(outputs * 9 * words, &random);
  memset(weight, 0xff, 9 * words * sizeof *weight);  // one output of ones
  memset(x, 0, height * width * words * sizeof *x);  // one image of zeros: the largest counts
  char what[96];
  snprintf(what, sizeof what, "conv3x3 %zux%zux%zu to %zu, padding %d", channels, height, width,
           outputs, padding);
  compare(implementation, what, 2 * height * width * outputs * sizeof(int32_t), &memory,
          [&](void* mismatches) {
            size_t bytes = 0;
            const auto call = [&](void* workspace) {
              require(bnn_conv3x3(x, weight, 2, static_cast<int64_t>(height),
                                  static_cast<int64_t>(width), static_cast<int64_t>(channels),
                                  static_cast<int64_t>(outputs), padding,
                                  static_cast<int32_t*>(mismatches), workspace, &bytes),
                      what);
            };
            call(nullptr);
            call(memory.take(bytes));
          });
}

// Outputs that differ in their share of ones, constant and equal ones: they make lists of the
// bit-sliced family of all lengths.
void skew(uint32_t* weight, size_t words) {
  for (size_t output = 1; output < 64; ++output) {
    uint32_t* row = weight + output * words;
    for (size_t i = 0; i < words; ++i) {
      const uint32_t next = row[(i + 1) % words];
      const uint32_t kinds[] = {row[i], row[i] & next, row[i] | next, 0, ~0u, row[i - words]};
      row[i] = kinds[output * 7 % 11 % 6];
    }
  }
}

// A transition behind a stage, and what generic makes of the stage's output.
struct ExpectedTransition {
  bnn_transition transition;
  bool is_int8;
  size_t bytes;
  void* expected;
};

// `x` is the output of the stage; generic is selected.
ExpectedTransition expect_transition(const bnn_stage& stage, int32_t channels, const float* x,
                                     int64_t n, bool is_int8, Memory* memory, Random* random) {
  bnn_convolution convolution = make_convolution(channels, 24, 1, {1, 1, 0, 0}, 0, memory, random);
  if (is_int8)  // of values as large as the counts
    convolution.int8 = make_int8(24, static_cast<size_t>(channels), 0.7f, memory, random);
  const bnn_transition transition = {memory->floats(static_cast<size_t>(channels), random),
                                     memory->floats(static_cast<size_t>(channels), random),
                                     stage.height,
                                     stage.width,
                                     {2, 2, 0, 0},
                                     16,
                                     convolution};
  const size_t pooled =
      static_cast<size_t>(stage.height / 2) * static_cast<size_t>(stage.width / 2);
  const size_t bytes = static_cast<size_t>(n) * 24 * pooled * sizeof(float);
  void* expected = memory->take(bytes);
  run_part(bnn_transition_prepare, transition, x, n, expected, memory);
  return {transition, is_int8, bytes, expected};
}

// A prepared stage and the transition behind it as a network of one to three threads: what the
// transition pools comes to it as planes from bit-sliced stages.
void check_pair(const char* implementation, const bnn_part& stage, const ExpectedTransition& behind,
                const float* x, int64_t n, Memory* memory) {
  const bnn_part network[2] = {stage,
                               prepare_part(bnn_transition_prepare, behind.transition, memory)};
  for (int32_t threads = 1; threads <= 3; ++threads) {
    void* found = memory->take(behind.bytes);
    bnn_pool* pool = nullptr;
    size_t size = 0;
    require(bnn_pool_new(threads, &pool), "pool");
    require(bnn_network_workspace(network, 2, threads, n, &size), "workspace");
    require(bnn_network_run(network, 2, x, n, static_cast<float*>(found), memory->take(size), size,
                            pool, threads),
            "run");
    bnn_pool_free(pool);
    char what[64];
    snprintf(what, sizeof what, "  and its transition%s, threads %d",
             behind.is_int8 ? " in 8 bits" : "", threads);
    check(memcmp(behind.expected, found, behind.bytes) == 0, implementation, what);
  }
}

// Several images of a prepared stage together, in the workspace for all and for fewer.
void check_together(const char* implementation, const bnn_part& stage, const float* x, int64_t n,
                    const void* expected, size_t bytes, Memory* memory) {
  for (int64_t room = 1; room <= n; room += 3) {
    void* found = memory->take(bytes);
    size_t size = 0;
    require(bnn_network_workspace(&stage, 1, 1, room, &size), "workspace");
    require(bnn_network_run(&stage, 1, x, n, static_cast<float*>(found), memory->take(size), size,
                            nullptr, 1),
            "run");
    char what[64];
    snprintf(what, sizeof what, "  %d images, room for %d", static_cast<int>(n),
             static_cast<int>(room));
    check(memcmp(expected, found, bytes) == 0, implementation, what);
  }
}

// Both kernel families of a stage, where the implementation has both.
void check_stage(const char* implementation, int32_t channels_in, int32_t height, int32_t width,
                 int32_t padding, bool skewed, bool brief) {
  Random random = {static_cast<uint64_t>(channels_in + 7 * height + padding + 2)};
  Memory memory;
  // Five layers read the first block; improvements add to dense layers and to each other.
  const char kinds[] = "diddiid";
  const int layer_count = channels_in * height * width <= 8000 ? 7 : 5;
  bnn_binary_layer layers[sizeof kinds - 1];
  int32_t channels = channels_in;
  for (int i = 0; i < layer_count; ++i) {
    bnn_binary_layer& layer = layers[i];
    layer.channels = channels;
    layer.is_improvement = kinds[i] == 'i';
    const size_t words = static_cast<size_t>(channels) / 32;
    uint32_t* weight = memory.words(64 * 9 * words, &random);
    if (skewed && i < 2) skew(weight, 9 * words);  // such weights are slow to prepare
    layer.weight = weight;
    layer.flip = memory.words(words, &random);
    float* threshold = memory.floats(static_cast<size_t>(channels), &random);
    for (int32_t c = channels_in; c < channels; ++c)
      threshold[c] = floorf(threshold[c] * 40.0f) * (c % 3 ? 1.0f : 0.5f);
    for (int32_t c = 1; c < channels_in; c += 2) threshold[c] = c % 4 == 1 ? 0.0f : 0.5f;  // ties
    threshold[channels - 1] = INFINITY;
    threshold[0] = -INFINITY;
    layer.threshold = threshold;
    if (!layer.is_improvement) channels += 64;
  }
  const bnn_stage stage = {channels_in, height, width, 64, padding, layer_count, layers};
  const size_t pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
  // The most that share planes and one more, or a group and one more, where that is quick.
  const int64_t images = pixels > 1100 ? 1 : channels_in > 64 || brief ? 2 : pixels <= 225 ? 9 : 4;
  float* x = memory.floats(static_cast<size_t>(images * channels_in) * pixels, &random);
  for (size_t i = 0; i < static_cast<size_t>(images * channels_in) * pixels; i += 5)
    x[i] = i % 3 == 0 ? 0.5f : kOdd[i % 7];
  const size_t bytes = static_cast<size_t>(images * channels) * pixels * sizeof(float);
  float* expected = static_cast<float*>(memory.take(bytes));
  require(bnn_select("generic"), "select");
  run_part(bnn_stage_prepare, stage, x, images, expected, &memory);
  ExpectedTransition transitions[2];
  const int transition_count = height > 1 && width > 1 ? 2 : 0;  // else there is nothing to pool
  for (int i = 0; i < transition_count; ++i)
    transitions[i] = expect_transition(stage, channels, expected, images, i == 1, &memory, &random);
  require(bnn_select(implementation), "select");
  char what[96];
  const char* const families[] = {"popcount", "sliced"};
  for (const char* family : families) {
    setenv("BNN_FORCE_KERNEL", family, 1);
    const bnn_part part = prepare_part(bnn_stage_prepare, stage, &memory);
    char report[4096];
    require(bnn_part_report(part.part, part.bytes, report, sizeof report), "report");
    if (strstr(report, family) == nullptr) continue;  // it has no such family, or not for this
    void* found = memory.take(bytes);
    run_prepared(part, x, images, found, &memory);
    snprintf(what, sizeof what, "stage %dx%dx%d, padding %d, %s weights, %s", channels_in, height,
             width, padding, skewed ? "skewed" : "even", family);
    check(memcmp(expected, found, bytes) == 0, implementation, what);
    check_together(implementation, part, x, images, expected, bytes, &memory);
    for (int i = 0; i < transition_count; ++i)
      check_pair(implementation, part, transitions[i], x, images, &memory);
  }
  unsetenv("BNN_FORCE_KERNEL");
  check(memory.release(), implementation, "  nothing written beside its buffers");
}

struct Shape {
  int32_t channels, height, width;
  bool skewed;  // weights too
};

// The bit-sliced family has kernels for rows of 16, 32 and 64 positions or as many as they have,
// for sums of 9 to 14 planes and, on AVX-512, for two sizes of vectors: maps that fit 256
// positions, and others.
const Shape kStages[] = {
    {32, 1, 1, false},
    {32, 3, 2, false},
    {32, 1, 40, false},
    {32, 40, 1, false},
    {64, 8, 8, false},
    {32, 7, 7, false},  // maps of several images in one plane
    {64, 5, 5, false},
    {32, 4, 6, false},
    {64, 14, 14, true},
    {32, 15, 16, true},  // the largest map of overlapping elements
    {32, 15, 1, false},
    {32, 16, 16, false},
    {64, 28, 28, true},
    {32, 32, 32, false},
    {32, 9, 56, false},
    {32, 8, 64, false},
    {32, 56, 56, false},
    // close rows, even and odd, in one vector and in several, of whole words, as short and as long
    // as can be
    {32, 10, 10, false},
    {32, 18, 14, false},
    {32, 17, 17, false},
    {32, 20, 20, true},
    {32, 33, 33, false},
    {32, 40, 40, false},
    {32, 20, 48, false},
    {32, 51, 9, false},
    {32, 96, 40, false},
    // 10 to 14 planes of 256 positions, then of 512
    {160, 5, 7, true},
    {288, 3, 5, true},
    {480, 4, 4, false},
    {928, 3, 5, false},
    {1600, 1, 2, false},  // lists of two parts where rows overlap
    {1600, 2, 2, true},   // which skewed weights do not fit
    {160, 5, 33, true},
    {288, 17, 2, true},
    {480, 17, 2, false},
    {928, 17, 2, false},
    {1600, 17, 2, false},
    {1856, 2, 3, false},
    {1856, 17, 2, false},
};

// `brief`: small maps, one padding.
void check_implementation(const char* name, bool brief) {
  bnn::test_vectors(name, check);
  const size_t widths[] = {32, 64, 96, 160, 224, 288};
  for (const size_t channels : widths) {
    check_pack(name, channels);
    for (int32_t padding = -1; padding <= 1; ++padding) {
      check_convolution(name, channels, 1, 1, 1, padding);
      check_convolution(name, channels, 3, 2, 65, padding);
      check_convolution(name, channels, 5, 7, 64, padding);
    }
  }
  check_convolution(name, 1856, 3, 3, 64, -1);
  check_convolution(name, 7264, 1, 2, 3, -1);           // counts up to 65,376
  const bool reference = strcmp(name, "generic") == 0;  // what the others are compared with
  for (const Shape& shape : kStages) {
    const int32_t size = shape.channels * shape.height * shape.width;
    if (brief && size > 13000) continue;
    const bool all = !reference && !brief && size <= 60000;  // paddings
    for (int32_t padding = all ? -1 : 0; padding <= (all ? 1 : 0); ++padding)
      check_stage(name, shape.channels, shape.height, shape.width, padding, false, brief);
    if (shape.skewed && !reference && !brief)
      check_stage(name, shape.channels, shape.height, shape.width, 0, true, brief);
  }
  for (const bool is_int8 : {false, true}) {
    check_stem(name, 32, 32, is_int8);
    check_stem(name, 29, 70, is_int8);
    check_transition(name, 64, 8, 8, 1, 1, is_int8);
    check_transition(name, 96, 14, 10, 4, 16, is_int8);
    check_transition(name, 30, 29, 31, 2, 3, is_int8);
    check_head(name, 96, 4, 10, is_int8);
    check_head(name, 70, 7, 101, is_int8);
  }
  for (int32_t threads = 1; threads <= 3; ++threads) {
    check_grouped_stem(name, 64, 64, {3, 2, 1, 1}, 1, threads);  // maps of whole fours of rows
    check_grouped_stem(name, 33, 70, {3, 2, 1, 0}, 0, threads);
    check_grouped_stem(name, 5, 131, {3, 2, 1, 1}, 1, threads);
    check_grouped_stem(name, 29, 37, {2, 2, 0, 1}, 1, threads);
    check_grouped_stem(name, 27, 40, {0, 0, 0, 0}, 0, threads);
  }
  check_resizing(name);
}

}  // namespace

int main(int argc, char** argv) {
  const bool brief = argc == 2 && strcmp(argv[1], "brief") == 0;
  if (argc > 1 && !brief) {
    fprintf(stderr, "usage: %s [brief]\n", argv[0]);
    return 2;
  }
  const bnn_implementation* list;
  int32_t count;
  require(bnn_implementations(&list, &count), "implementations");
  require(bnn_select(nullptr), "select");
  printf("active: %s\n", bnn_active());
  bnn::test_choice(check);
  for (int32_t i = 0; i < count; ++i) {
    if (list[i].supported) {
      if (brief && strcmp(list[i].name, bnn_active()) != 0) continue;
      // The binary layers of neon_dot are those of neon.
      check_implementation(list[i].name, brief || strcmp(list[i].name, "neon_dot") == 0);
    } else {
      printf("skip %-8s needs %s\n", list[i].name, list[i].features);
    }
  }
  printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
