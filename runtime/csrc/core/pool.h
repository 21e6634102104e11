// What calls ask of a pool of threads; the pool itself is in core/team.cpp.
#ifndef BNN_POOL_H_
#define BNN_POOL_H_

#include "bnn.h"
#include "core/team.h"

namespace bnn {

// Calls run(argument, team) on this thread and on those that the pool can spare, `threads` at most
// in all; returns when every member has returned. pool NULL: on this thread alone.
void run_team(bnn_pool* pool, int32_t threads, void (*run)(void*, const Team&), void* argument);

int32_t pool_threads(const bnn_pool* pool);

}  // namespace bnn
#endif  // BNN_POOL_H_
