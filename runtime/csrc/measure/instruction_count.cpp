// Runs one binary layer between two marks, for an emulator that logs what it executes.
// So one knows how many instructions a kernel takes; see runtime/instruction_counts.py.
//
//   calibrate                             a loop whose instructions are known
//   lists CHANNELS FILE                   writes the lists of a bit-sliced layer: they take longer
//                                         to make than to use
//   sliced HEIGHT WIDTH CHANNELS FILE     elements, their sum and the counts of 64 outputs
//   popcount HEIGHT WIDTH CHANNELS        the counts of 64 outputs
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/dispatch.h"
#include "kernels/sliced/sliced.h"

// Different bodies: the linker must not make them one.
extern "C" __attribute__((noinline)) void begin_count() { asm volatile("nop" ::: "memory"); }
extern "C" __attribute__((noinline)) void end_count() { asm volatile("nop\nnop" ::: "memory"); }

namespace bnn {
namespace {

[[noreturn]] void stop(const char* what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

// Aligned zeros.
template <typename T>
T* allocate(int64_t count, size_t size = sizeof(T)) {
  const size_t bytes = (static_cast<size_t>(count) * size + BNN_ALIGNMENT) / BNN_ALIGNMENT;
  void* memory = aligned_alloc(BNN_ALIGNMENT, bytes * BNN_ALIGNMENT + kSlack);
  if (memory == nullptr) stop("no memory");
  memset(memory, 0, bytes * BNN_ALIGNMENT + kSlack);
  return static_cast<T*>(memory);
}

uint32_t* random_words(int64_t count) {
  uint32_t* words = allocate<uint32_t>(count);
  uint64_t state = 1;
  for (int64_t i = 0; i < count; ++i) {  // xorshift64*
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    words[i] = static_cast<uint32_t>((state * 0x2545f4914f6cdd1du) >> 32);
  }
  return words;
}

// One vector operation, one vector load and two other instructions, 1000 times.
void calibrate() {
  begin_count();
#if defined(__aarch64__)
  asm volatile(
      "mov x0, #1000\n"
      "1: eor v0.16b, v0.16b, v0.16b\n"
      "ldr q1, [sp]\n"
      "subs x0, x0, #1\n"
      "b.ne 1b" ::
          : "x0", "v0", "v1", "cc");
#endif
  end_count();
}

SlicedShape find_shape(const SlicedKernels& kernels, int64_t height, int64_t width) {
  SlicedShape shape;
  if (!make_sliced_shape(kernels.sizes, height, width, &shape)) stop("no such shape");
  return shape;
}

void write_lists(const SlicedKernels& kernels, const SlicedShape& shape, int64_t words,
                 const char* path) {
  const uint32_t* weight = random_words(kGrowth * kTaps * words);
  const size_t bytes = sliced_layer_bytes(kernels, weight, words);
  void* layer = allocate<char>(static_cast<int64_t>(bytes));
  write_sliced_layer(kernels, shape, weight, words, static_cast<SlicedLayer*>(layer));
  FILE* file = fopen(path, "wb");
  if (file == nullptr || fwrite(layer, bytes, 1, file) != 1 || fclose(file) != 0)
    stop("cannot write the lists");
}

const SlicedLayer* read_lists(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == nullptr || fseek(file, 0, SEEK_END) != 0) stop("cannot read the lists");
  const long bytes = ftell(file);
  rewind(file);
  void* layer = allocate<char>(bytes);
  if (fread(layer, static_cast<size_t>(bytes), 1, file) != 1) stop("cannot read the lists");
  fclose(file);
  return static_cast<const SlicedLayer*>(layer);
}

void run_sliced(const SlicedKernels& kernels, int64_t height, int64_t width, int32_t channels,
                const char* path) {
  const SlicedLayer* layer = read_lists(path);
  const SlicedShape shape = find_shape(kernels, height, width);
  const size_t bytes = static_cast<size_t>(shape.vector_bytes);
  const int64_t vectors = shape.vectors;
  const int32_t total = kTaps * channels, planes = layer->sum_planes + 1;
  const uint32_t* bits = random_words(channels * vectors * shape.vector_bytes / 4);
  const uint32_t* flip = allocate<uint32_t>(channels / 32);
  void* elements = allocate<char>(element_vectors(shape, channels), bytes);
  void* base = allocate<char>(vectors * 2 * planes, bytes);
  void* block = allocate<char>(vectors * kGrowth * planes, bytes);
  const SlicedVectors& kernel = sliced_vectors(kernels, shape);
  const SlicedSpreadJob spread = {
      shape,  -1,   channels,          bits, flip, elements, layer->overlapping != 0,
      planes, base, {0, shape.vectors}};
  const SlicedCountJob count = {
      shape, channels, layer,   elements,
      base,  block,    planes,  planes,
      false, planes,   nullptr, nullptr,
      0,     nullptr,  total,   {0, band_count(shape) * layer->group_count}};
  begin_count();
  kernel.spread(spread);
  kernel.count(count);
  end_count();
}

void run_popcount(const Kernels& kernels, int64_t height, int64_t width, int64_t words) {
  const CountFamily* family = kernels.families;
  while (!family->suits(words, height, width)) ++family;
  void* weights = allocate<char>(static_cast<int64_t>(family->weight_bytes(words)));
  family->pack_weights(random_words(kGrowth * kTaps * words), words, weights);
  uint32_t* map = random_words((height + 2) * (width + 2) * words);
  uint16_t* counts = allocate<uint16_t>(height * width * kGrowth);
  void* scratch = allocate<char>(static_cast<int64_t>(family->scratch_bytes(words, height, width)));
  const CountJob job = {weights, map, words, height, width, counts, false, scratch};
  begin_count();
  family->count(job);
  end_count();
}

int run(int count, char** words) {
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr || kernels->sliced == nullptr) stop("no such kernels");
  printf("%p %p\n", reinterpret_cast<void*>(begin_count), reinterpret_cast<void*>(end_count));
  const char* task = count > 1 ? words[1] : "";
  if (strcmp(task, "calibrate") == 0) {
    calibrate();
  } else if (strcmp(task, "lists") == 0 && count == 6) {
    const SlicedShape shape = find_shape(*kernels->sliced, atoi(words[2]), atoi(words[3]));
    write_lists(*kernels->sliced, shape, atoi(words[4]) / 32, words[5]);
  } else if (strcmp(task, "sliced") == 0 && count == 6) {
    run_sliced(*kernels->sliced, atoi(words[2]), atoi(words[3]), atoi(words[4]), words[5]);
  } else if (strcmp(task, "popcount") == 0 && count == 5) {
    run_popcount(*kernels, atoi(words[2]), atoi(words[3]), atoi(words[4]) / 32);
  } else {
    stop("expected calibrate, lists, sliced or popcount, with sizes");
  }
  return 0;
}

}  // namespace
}  // namespace bnn

int main(int count, char** words) { return bnn::run(count, words); }
