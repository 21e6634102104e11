// The self-test's checks of stems, transitions and heads, in float and in 8-bit arithmetic.
#ifndef BNN_SELFTEST_FLOATS_H_
#define BNN_SELFTEST_FLOATS_H_

#include "tests/selftest_tools.h"

namespace {

// 8-bit weights of all sizes; steps with which levels reach 255.
const bnn_int8* make_int8(size_t outputs, size_t taps, float inverse_step, Memory* memory,
                          Random* random) {
  bnn_int8* int8 = static_cast<bnn_int8*>(memory->take(sizeof(bnn_int8)));
  int8_t* weight = static_cast<int8_t*>(memory->take(outputs * taps));
  for (size_t i = 0; i < outputs * taps; ++i) {
    const int32_t value = static_cast<int32_t>(random->word() % 255) - 127;
    weight[i] = static_cast<int8_t>(i % 7 == 0 ? (i % 2 ? 127 : -127) : value);
  }
  float* scale = memory->floats(outputs, random, 0.01f);
  for (size_t i = 0; i < outputs; ++i) scale[i] = scale[i] < 0.0f ? -scale[i] : scale[i] + 1e-4f;
  *int8 = {weight, scale, inverse_step};
  return int8;
}

bnn_convolution make_convolution(int32_t in, int32_t out, int32_t groups, bnn_window window,
                                 int32_t relu, Memory* memory, Random* random) {
  const size_t area = static_cast<size_t>(window.kernel) * static_cast<size_t>(window.kernel);
  const size_t count = static_cast<size_t>(out) * static_cast<size_t>(in / groups) * area;
  const float* weight = memory->floats(count, random);
  return {weight, memory->floats(static_cast<size_t>(out), random), in, out, groups, window, relu,
          nullptr};
}

// The same with 8-bit arithmetic beside the float one.
bnn_convolution make_int8_convolution(int32_t in, int32_t out, int32_t groups, bnn_window window,
                                      int32_t relu, Memory* memory, Random* random) {
  bnn_convolution convolution = make_convolution(in, out, groups, window, relu, memory, random);
  const size_t taps = static_cast<size_t>(in / groups * window.kernel * window.kernel);
  convolution.int8 = make_int8(static_cast<size_t>(out), taps, 90.0f, memory, random);
  return convolution;
}

void check_stem(const char* implementation, int32_t height, int32_t width, bool is_int8) {
  Random random = {static_cast<uint64_t>(height * 100 + width)};
  Memory memory;
  const auto make = is_int8 ? make_int8_convolution : make_convolution;
  const bnn_convolution convolutions[] = {
      make_convolution(3, 18, 1, {3, 2, 1, 1}, 1, &memory, &random),
      make(18, 16, 2, {3, 1, 1, 1}, 0, &memory, &random),  // 9 channels: quads that are not full
      make(16, 20, 4, {3, 1, 1, 1}, 1, &memory, &random),
      make(20, 20, 2, {5, 2, 2, 1}, 1, &memory, &random),
  };
  const bnn_stem stem = {height, width, 4, convolutions, {3, 2, 1, 1}};
  const float* x =
      memory.floats(2 * 3 * static_cast<size_t>(height) * static_cast<size_t>(width), &random);
  char what[64];
  snprintf(what, sizeof what, "stem %dx%d%s", height, width, is_int8 ? ", 8-bit" : "");
  // More room than the output needs.
  const size_t bytes =
      2 * 20 * static_cast<size_t>(height) * static_cast<size_t>(width) * sizeof(float);
  compare(implementation, what, bytes, &memory,
          [&](void* y) { run_part(bnn_stem_prepare, stem, x, 2, y, &memory); });
}

// The paper's stem, smaller: its last two convolutions go by Winograd, and the pool takes their
// rows in registers. A team shares out the rows, and gives the bits of one thread.
void check_grouped_stem(const char* implementation, int32_t height, int32_t width, bnn_window pool,
                        int32_t relu, int32_t threads) {
  Random random = {static_cast<uint64_t>(height * 100 + width + pool.kernel)};
  Memory memory;
  const bnn_convolution convolutions[] = {
      make_convolution(3, 16, 1, {3, 2, 1, 1}, 1, &memory, &random),
      make_convolution(16, 16, 2, {3, 1, 1, 1}, 1, &memory, &random),
      make_convolution(16, 21, 1, {3, 1, 1, 1}, relu, &memory, &random),
  };
  const bnn_stem stem = {height, width, 3, convolutions, pool};
  const size_t pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
  const float* x = memory.floats(3 * pixels, &random);
  char what[96];
  snprintf(what, sizeof what, "grouped stem %dx%d, pool %dx%d by %d, threads %d", height, width,
           pool.kernel, pool.kernel, pool.stride, threads);
  int32_t team = 1;
  compare(implementation, what, 21 * pixels * sizeof(float), &memory, [&](void* y) {
    const bnn_part part = prepare_part(bnn_stem_prepare, stem, &memory);
    bnn_pool* workers = nullptr;
    size_t size = 0;
    require(bnn_pool_new(team, &workers), "pool");
    require(bnn_network_workspace(&part, 1, team, 1, &size), "workspace");
    require(bnn_network_run(&part, 1, x, 1, static_cast<float*>(y), memory.take(size), size,
                            workers, team),
            "run");
    bnn_pool_free(workers);
    team = threads;
  });
}

void check_transition(const char* implementation, int32_t channels, int32_t height, int32_t width,
                      int32_t groups, int32_t shuffle, bool is_int8) {
  Random random = {static_cast<uint64_t>(channels + height)};
  Memory memory;
  const auto make = is_int8 ? make_int8_convolution : make_convolution;
  const bnn_convolution convolution = make(channels, 32, groups, {1, 1, 0, 0}, 0, &memory, &random);
  const bnn_transition transition = {memory.floats(static_cast<size_t>(channels), &random),
                                     memory.floats(static_cast<size_t>(channels), &random),
                                     height,
                                     width,
                                     {2, 2, 0, 0},
                                     shuffle,
                                     convolution};
  const size_t pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
  const float* x = memory.floats(static_cast<size_t>(channels) * pixels, &random, 4.0f);
  char what[80];
  snprintf(what, sizeof what, "transition %dx%dx%d, groups %d, shuffle %d%s", channels, height,
           width, groups, shuffle, is_int8 ? ", 8-bit" : "");
  compare(implementation, what, 32 * pixels * sizeof(float), &memory,
          [&](void* y) { run_part(bnn_transition_prepare, transition, x, 1, y, &memory); });
}

void check_head(const char* implementation, int32_t channels, int32_t side, int32_t classes,
                bool is_int8) {
  Random random = {static_cast<uint64_t>(channels + classes)};
  Memory memory;
  const size_t c = static_cast<size_t>(channels), k = static_cast<size_t>(classes);
  const bnn_head head = {memory.floats(c, &random),
                         memory.floats(c, &random),
                         memory.floats(c * k, &random),
                         memory.floats(k, &random),
                         channels,
                         side,
                         side,
                         classes,
                         is_int8 ? make_int8(k, c, 200.0f, &memory, &random) : nullptr};
  const float* x = memory.floats(2 * c * static_cast<size_t>(side * side), &random, 4.0f);
  char what[64];
  snprintf(what, sizeof what, "head %dx%dx%d to %d%s", channels, side, side, classes,
           is_int8 ? ", 8-bit" : "");
  compare(implementation, what, 2 * k * sizeof(float), &memory,
          [&](void* y) { run_part(bnn_head_prepare, head, x, 2, y, &memory); });
}

}  // namespace
#endif  // BNN_SELFTEST_FLOATS_H_
