// The threads that run one part together.
// All execute the same code on their share of the work and meet between its phases.
#ifndef BNN_TEAM_H_
#define BNN_TEAM_H_

#include <stdint.h>

namespace bnn {

class Barrier;

struct Range {
  int64_t begin, end;
};

struct Team {
  int32_t member, size;
  Barrier* barrier;  // NULL for a team of one

  // What this member does of n equal pieces of work.
  Range share(int64_t n) const { return {n * member / size, n * (member + 1) / size}; }
  // Returns when all members have called it; what they wrote before is then visible to all.
  void meet() const {
    if (size > 1) wait();
  }

 private:
  void wait() const;  // core/team.cpp
};

inline Team team_of_one() { return {0, 1, nullptr}; }

}  // namespace bnn
#endif  // BNN_TEAM_H_
