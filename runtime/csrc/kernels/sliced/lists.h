// Lists of the elements that the bit-sliced family counts, in classes of equal size.
#ifndef BNN_SLICED_LISTS_H_
#define BNN_SLICED_LISTS_H_

#include <stddef.h>
#include <stdint.h>

namespace bnn {

constexpr int kGroupMost = 6;                  // outputs of a group at most
constexpr int kClassesMost = 1 << kGroupMost;  // codes of a group at most

// How the elements of one group are spread over classes of `size` entries.
struct GroupPlan {
  int32_t outputs, size;
  uint32_t mask;                 // outputs that count their zeros instead of their ones
  uint16_t count[kClassesMost];  // elements of each code, mask applied
  // Elements of code c that are entered as a and c ^ a instead, a < c ^ a.
  uint16_t split[kClassesMost][kClassesMost];
};

// The entries of elements: that of channel, dy, dx is dy * row + (3 * channel + dx) * plane.
struct ElementOrder {
  int64_t row, plane;
  int64_t zero;   // of a vector of zeros
  int64_t later;  // what is subtracted from the entries in the second part of each class
};

constexpr int kBlock = 32;  // entries that are added in registers

// Entries in the first part of a class of `size`, see ElementOrder.
inline int32_t first_part(int32_t size) { return size / kBlock / 2 * kBlock; }

// weight is [64][9][words]; a group is the outputs first .. first + outputs - 1, at least 2 and at
// most kGroupMost.
void plan_group(const uint32_t* weight, int64_t words, int32_t first, int32_t outputs,
                GroupPlan* plan);

// Entries of a group's list, and the list itself.
inline int64_t group_entries(int32_t outputs, int32_t size) {
  return ((int64_t{1} << outputs) - 1) * size;
}
// False if 16 bits do not hold an entry.
bool write_group(const uint32_t* weight, int64_t words, int32_t first, const GroupPlan& plan,
                 const ElementOrder& order, uint16_t* entries);

}  // namespace bnn
#endif  // BNN_SLICED_LISTS_H_
