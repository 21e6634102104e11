// Which implementation a CPU gets and which kernel family a stage.
// These are functions of features and shapes alone, the same on every CPU, so that tests can ask
// them about any.
#ifndef BNN_CHOICE_H_
#define BNN_CHOICE_H_

#include "kernels/sliced/sliced.h"

namespace bnn {

enum class Machine { kX86, kArm, kOther };

// What a CPU can do and its operating system lets it do; one bit each.
enum Feature : uint32_t {
  kAvx2 = 1 << 0,
  kFma = 1 << 1,
  kAvx512F = 1 << 2,
  kAvx512Bw = 1 << 3,
  kAvx512Vl = 1 << 4,
  kAvx512Vbmi = 1 << 5,
  kAvx512Vnni = 1 << 6,
  kAvx512Vpopcntdq = 1 << 7,
  kGfni = 1 << 8,
  kDotProducts = 1 << 9,
};

struct ImplementationRule {
  const char* name;
  Machine machine;            // kOther: every machine
  uint32_t features;          // that it needs, all of them
  const SlicedSizes* sliced;  // NULL: it has no bit-sliced family
};

// The best implementation that a CPU runs or, if there is a name, the one of that name; NULL if it
// runs none such.
const ImplementationRule* choose_implementation(Machine machine, uint32_t features,
                                                const char* name);

enum class Force { kNone, kPopcount, kSliced };

// What BNN_FORCE_KERNEL says; NULL and "" are no force. false: no name of a family.
bool parse_force(const char* text, Force* force);

struct StageShape {
  int32_t height, width;
  int32_t widest;  // channels of the widest layer
};

// Whether the bit-sliced family suits a stage, and the shape of its planes if so: small maps fill
// the vectors badly, wide layers are faster without. By force it takes whatever it can.
bool choose_sliced(const SlicedSizes* sizes, const StageShape& stage, Force force,
                   SlicedShape* shape);

// How the maps of several images share planes in a run of them: several in one vector where that
// fills vectors better than popcount or the planes of one map (`alone`; NULL: it is popcount) do.
// Lists of overlapping elements are those of one map, or its own if that is popcount.
bool choose_tiles(const SlicedSizes* sizes, const StageShape& stage, Force force,
                  const SlicedShape* alone, SlicedShape* shape);

// The planes of maps one below the other that take fewest bytes for as many images as run together,
// those left over one by one. Bit-sliced stages only; false if they save less than a sixteenth.
bool choose_stack(const SlicedSizes& sizes, const StageShape& stage, const SlicedShape& alone,
                  SlicedShape* shape);

}  // namespace bnn
#endif  // BNN_CHOICE_H_
