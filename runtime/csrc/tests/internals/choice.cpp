// Tests the choice of an implementation and of a kernel family.
// The CPU features are all sets that matter, the stages those of every instruction set.
#include "kernels/choice.h"

#include <stdio.h>
#include <string.h>

#include "tests/internals/report.h"

namespace bnn {
namespace {

constexpr uint32_t kAvx2Cpu = kAvx2 | kFma;
constexpr uint32_t kAvx512Cpu = kAvx2Cpu | kAvx512F | kAvx512Bw | kAvx512Vl | kAvx512Vbmi |
                                kAvx512Vnni | kAvx512Vpopcntdq | kGfni;

struct CpuCase {
  const char* what;
  Machine machine;
  uint32_t features;
  const char* asked;     // NULL: the best
  const char* expected;  // NULL: none
};

const CpuCase kCpus[] = {
    {"x86-64 without AVX", Machine::kX86, 0, nullptr, "generic"},
    {"AVX2 without FMA", Machine::kX86, kAvx2, nullptr, "generic"},
    {"FMA without AVX2", Machine::kX86, kFma, nullptr, "generic"},
    {"AVX2", Machine::kX86, kAvx2Cpu, nullptr, "avx2"},
    {"AVX-512", Machine::kX86, kAvx512Cpu, nullptr, "avx512"},
    {"AVX-512 without VBMI", Machine::kX86, kAvx512Cpu & ~kAvx512Vbmi, nullptr, "avx2"},
    {"AVX-512 without VNNI", Machine::kX86, kAvx512Cpu & ~kAvx512Vnni, nullptr, "avx2"},
    {"AVX-512 without VPOPCNTDQ", Machine::kX86, kAvx512Cpu & ~kAvx512Vpopcntdq, nullptr, "avx2"},
    {"AVX-512 without VL", Machine::kX86, kAvx512Cpu & ~kAvx512Vl, nullptr, "avx2"},
    {"AVX-512 without BW", Machine::kX86, kAvx512Cpu & ~kAvx512Bw, nullptr, "avx2"},
    {"AVX-512 without F", Machine::kX86, kAvx512Cpu & ~kAvx512F, nullptr, "avx2"},
    {"AVX-512 without GFNI", Machine::kX86, kAvx512Cpu & ~kGfni, nullptr, "avx2"},
    {"AVX-512 without FMA", Machine::kX86, kAvx512Cpu & ~kFma, nullptr, "generic"},
    {"ARM", Machine::kArm, 0, nullptr, "neon"},
    {"ARM with dot products", Machine::kArm, kDotProducts, nullptr, "neon_dot"},
    {"another machine", Machine::kOther, ~0u, nullptr, "generic"},
    {"avx2 asked of AVX-512", Machine::kX86, kAvx512Cpu, "avx2", "avx2"},
    {"generic asked of AVX-512", Machine::kX86, kAvx512Cpu, "generic", "generic"},
    {"avx512 asked of AVX2", Machine::kX86, kAvx2Cpu, "avx512", nullptr},
    {"avx2 asked of no AVX", Machine::kX86, 0, "avx2", nullptr},
    {"neon asked of x86-64", Machine::kX86, ~0u, "neon", nullptr},
    {"avx2 asked of ARM", Machine::kArm, ~0u, "avx2", nullptr},
    {"neon asked of dot products", Machine::kArm, kDotProducts, "neon", "neon"},
    {"neon_dot asked of none", Machine::kArm, 0, "neon_dot", nullptr},
    {"a name of no implementation", Machine::kX86, ~0u, "avx1024", nullptr},
};

bool is_name(const ImplementationRule* rule, const char* expected) {
  if (rule == nullptr || expected == nullptr) return rule == nullptr && expected == nullptr;
  return strcmp(rule->name, expected) == 0;
}

// What a stage gets: nothing of these for the popcount family.
struct Planes {
  int32_t vectors, vector_bytes;
};
constexpr Planes kNo = {0, 0};

struct StageCase {
  StageShape stage;
  Force force;
  Planes avx512, avx2, neon;
};

const StageCase kStages[] = {
    // Maps of the networks, from the first stage to the last.
    {{56, 56, 320}, Force::kNone, {7, 64}, {14, 32}, {28, 16}},
    {{28, 28, 480}, Force::kNone, {2, 64}, {4, 32}, {7, 16}},
    {{14, 14, 480}, Force::kNone, {1, 32}, {1, 32}, {2, 16}},
    {{7, 7, 480}, Force::kNone, kNo, kNo, kNo},
    {{7, 7, 480}, Force::kSliced, {1, 32}, {1, 32}, {1, 16}},
    {{56, 56, 320}, Force::kPopcount, kNo, kNo, kNo},
    // Those of images of 160 pixels.
    {{40, 40, 384}, Force::kNone, {4, 64}, {7, 32}, {14, 16}},
    {{20, 20, 384}, Force::kNone, {1, 64}, {2, 32}, {4, 16}},
    {{10, 10, 384}, Force::kNone, kNo, {1, 32}, {1, 16}},
    {{5, 5, 384}, Force::kNone, kNo, kNo, kNo},
    // The least maps that use enough lanes: 35 % on AVX2, 50 or, in half vectors, 55 on AVX-512,
    // 50 on NEON.
    {{8, 8, 64}, Force::kNone, kNo, kNo, {1, 16}},
    {{8, 7, 64}, Force::kNone, kNo, kNo, kNo},
    {{9, 9, 64}, Force::kNone, kNo, kNo, {1, 16}},
    {{9, 10, 64}, Force::kNone, kNo, {1, 32}, {1, 16}},
    {{11, 11, 64}, Force::kNone, kNo, {1, 32}, kNo},
    {{12, 11, 64}, Force::kNone, kNo, {1, 32}, {2, 16}},
    {{13, 11, 64}, Force::kNone, {1, 32}, {1, 32}, {2, 16}},
    {{16, 16, 64}, Force::kNone, {1, 32}, {1, 32}, {2, 16}},
    {{17, 15, 64}, Force::kNone, kNo, {2, 32}, {3, 16}},
    {{17, 16, 64}, Force::kNone, {1, 64}, {2, 32}, {3, 16}},
    {{8, 64, 64}, Force::kNone, {1, 64}, {2, 32}, {4, 16}},
    // Rows lie close where this takes fewer vectors, in planes that are not too long.
    {{17, 17, 64}, Force::kNone, {1, 64}, {2, 32}, {3, 16}},
    {{18, 14, 64}, Force::kNone, {1, 32}, {1, 32}, {2, 16}},
    {{33, 33, 64}, Force::kNone, {3, 64}, {5, 32}, {11, 16}},
    {{96, 40, 64}, Force::kNone, {8, 64}, {16, 32}, {32, 16}},
    {{100, 40, 64}, Force::kNone, {13, 64}, {25, 32}, {50, 16}},
    {{51, 9, 64}, Force::kNone, {1, 64}, {3, 32}, {5, 16}},
    {{51, 8, 64}, Force::kNone, kNo, {4, 32}, kNo},
    // Rows do not fit 64 bits; planes are too long.
    {{56, 65, 64}, Force::kSliced, kNo, kNo, kNo},
    {{128, 64, 64}, Force::kNone, {16, 64}, {32, 32}, {64, 16}},
    {{129, 64, 64}, Force::kSliced, kNo, kNo, kNo},
    // Wide layers.
    {{14, 14, 3584}, Force::kNone, {1, 32}, {1, 32}, {2, 16}},
    {{14, 14, 3616}, Force::kNone, kNo, kNo, kNo},
    {{14, 14, 3616}, Force::kSliced, {1, 32}, {1, 32}, {2, 16}},
    {{14, 14, 3648}, Force::kSliced, kNo, kNo, kNo},
};

const char* const kForces[] = {"", ", popcount forced", ", sliced forced"};

void test_stage(const char* name, const StageCase& item, const Planes& expected, Report report) {
  const Machine machine = name[0] == 'n' ? Machine::kArm : Machine::kX86;
  const ImplementationRule* rule = choose_implementation(machine, ~0u, name);
  SlicedShape shape = {};
  const bool sliced = choose_sliced(rule->sliced, item.stage, item.force, &shape);
  bool passed = sliced == (expected.vectors > 0);
  if (sliced)
    passed =
        passed && shape.vectors == expected.vectors && shape.vector_bytes == expected.vector_bytes;
  char what[96];
  snprintf(what, sizeof what, "chooses %s for stage %dx%dx%d%s",
           expected.vectors > 0 ? "sliced" : "popcount", item.stage.widest, item.stage.height,
           item.stage.width, kForces[static_cast<int>(item.force)]);
  report(passed, name, what);
}

struct TileCase {
  StageShape stage;
  int32_t avx512, avx2, neon;  // images in a vector; 0: no tiles
};

const TileCase kTiles[] = {
    {{28, 28, 480}, 0, 0, 0}, {{14, 14, 480}, 2, 0, 0}, {{10, 10, 256}, 0, 0, 0},
    {{7, 7, 480}, 4, 4, 2},   {{5, 5, 320}, 0, 4, 0},   {{4, 4, 64}, 0, 0, 4},
    {{1, 1, 64}, 0, 0, 0},    {{7, 7, 3616}, 0, 0, 0},
};

// Lists serve one image and several where both are bit-sliced.
void test_tiles(const char* name, const TileCase& item, int32_t expected, Report report) {
  const Machine machine = name[0] == 'n' ? Machine::kArm : Machine::kX86;
  const SlicedSizes* sizes = choose_implementation(machine, ~0u, name)->sliced;
  SlicedShape alone = {}, tiled = {};
  const bool sliced = choose_sliced(sizes, item.stage, Force::kNone, &alone);
  const bool found =
      choose_tiles(sizes, item.stage, Force::kNone, sliced ? &alone : nullptr, &tiled);
  bool passed = found == (expected > 0) && (!found || tiled.tiles.images == expected);
  if (found && sliced) {
    passed =
        passed && can_overlap(alone, item.stage.widest) == can_overlap(tiled, item.stage.widest);
  }
  char what[96];
  snprintf(what, sizeof what, "puts %d images into one plane, stage %dx%dx%d", expected,
           item.stage.widest, item.stage.height, item.stage.width);
  report(passed, name, what);
}

// Images one below the other and the vectors that they take; 0: none.
struct Stack {
  int32_t images, vectors;
};
constexpr Stack kNone = {0, 0};

struct StackCase {
  StageShape stage;
  Stack avx512, avx2, neon;
};

const StackCase kStacks[] = {
    {{56, 56, 256}, kNone, kNone, kNone},   {{40, 40, 160}, {2, 7}, kNone, kNone},
    {{28, 28, 480}, {3, 5}, {2, 7}, kNone}, {{20, 20, 256}, {8, 7}, {5, 9}, {2, 7}},
    {{14, 14, 480}, kNone, kNone, {4, 7}},  // rows of one map overlap on x86-64
};

void test_stacks(const char* name, const StackCase& item, const Stack& expected, Report report) {
  const Machine machine = name[0] == 'n' ? Machine::kArm : Machine::kX86;
  const SlicedSizes* sizes = choose_implementation(machine, ~0u, name)->sliced;
  SlicedShape alone = {}, stacked = {};
  bool passed = choose_sliced(sizes, item.stage, Force::kNone, &alone);
  const bool found = choose_stack(*sizes, item.stage, alone, &stacked);
  passed = passed && found == (expected.images > 0);
  if (found) {
    passed = passed && stacked.tiles.images == expected.images &&
             stacked.vectors == expected.vectors && plane_bytes(stacked) <= kCloseBytesMost;
  }
  char what[96];
  snprintf(what, sizeof what, "puts %d images one below the other, stage %dx%dx%d", expected.images,
           item.stage.widest, item.stage.height, item.stage.width);
  report(passed, name, what);
}

void test_forces(Report report) {
  Force force = Force::kSliced;
  bool passed = parse_force(nullptr, &force) && force == Force::kNone;
  passed = passed && parse_force("popcount", &force) && force == Force::kPopcount;
  passed = passed && parse_force("", &force) && force == Force::kNone;
  passed = passed && parse_force("sliced", &force) && force == Force::kSliced;
  report(passed && !parse_force("fastest", &force), "any", "reads the name of a forced family");
}

}  // namespace

void test_choice(Report report) {
  for (const CpuCase& cpu : kCpus) {
    char what[96];
    snprintf(what, sizeof what, "is chosen: %s", cpu.what);
    report(is_name(choose_implementation(cpu.machine, cpu.features, cpu.asked), cpu.expected),
           cpu.expected != nullptr ? cpu.expected : "none", what);
  }
  for (const StageCase& item : kStages) {
    test_stage("avx512", item, item.avx512, report);
    test_stage("avx2", item, item.avx2, report);
    test_stage("neon", item, item.neon, report);
    test_stage("neon_dot", item, item.neon, report);
    test_stage("generic", item, kNo, report);
  }
  for (const TileCase& item : kTiles) {
    test_tiles("avx512", item, item.avx512, report);
    test_tiles("avx2", item, item.avx2, report);
    test_tiles("neon", item, item.neon, report);
    test_tiles("generic", item, 0, report);
  }
  for (const StackCase& item : kStacks) {
    test_stacks("avx512", item, item.avx512, report);
    test_stacks("avx2", item, item.avx2, report);
    test_stacks("neon", item, item.neon, report);
  }
  test_forces(report);
}

}  // namespace bnn
