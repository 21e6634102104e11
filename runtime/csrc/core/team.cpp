// A pool of threads that lends teams to calls.
// Barriers and hand-overs are waited for actively for some tens of microseconds, then asleep.
//
// A pool for T threads has T places. A call takes one place for the thread it came on, and more,
// each with a worker of the pool, if no other call waits for one. So there are never more than T
// threads at work, and under load every call has one thread, which is how most images a second are
// computed.
#include "core/team.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "core/pool.h"
#include "core/status.h"

namespace bnn {
namespace {

constexpr int kSpins = 2000;
constexpr int32_t kMaxThreads = 256;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until done() holds: actively, then asleep until somebody calls wake().
class Sleep {
 public:
  Sleep() {
    pthread_mutex_init(&mutex_, nullptr);
    pthread_cond_init(&woken_, nullptr);
  }
  ~Sleep() {
    pthread_cond_destroy(&woken_);
    pthread_mutex_destroy(&mutex_);
  }
  template <typename Done>
  void wait(Done done) {
    for (int i = 0; i < kSpins; ++i) {
      if (done()) return;
      relax();
    }
    pthread_mutex_lock(&mutex_);
    ++sleepers_;
    while (!done()) pthread_cond_wait(&woken_, &mutex_);
    --sleepers_;
    pthread_mutex_unlock(&mutex_);
  }
  // After what done() looks at has changed. Both are sequentially consistent: either the sleeper
  // sees the change or we see the sleeper.
  void wake() {
    if (sleepers_ == 0) return;
    pthread_mutex_lock(&mutex_);
    pthread_cond_broadcast(&woken_);
    pthread_mutex_unlock(&mutex_);
  }

 private:
  pthread_mutex_t mutex_;
  pthread_cond_t woken_;
  std::atomic<int> sleepers_{0};
};

}  // namespace

// Lives as long as the pool: a member may still look at it when the others have gone on.
class Barrier {
 public:
  void wait(int32_t size) {
    const uint32_t turn = turn_;
    if (++arrived_ == size) {
      arrived_ = 0;
      turn_ = turn + 1;
      sleep_.wake();
    } else {
      sleep_.wait([&] { return turn_ != turn; });
    }
  }

 private:
  std::atomic<int32_t> arrived_{0};
  std::atomic<uint32_t> turn_{0};
  Sleep sleep_;
};

void Team::wait() const { barrier->wait(size); }

struct Task {
  void (*run)(void* argument, const Team& team);
  void* argument;
  Team team;
};

}  // namespace bnn

using bnn::Barrier;
using bnn::Sleep;
using bnn::Task;
using bnn::Team;

struct Worker {
  pthread_t thread;
  Task task;
  std::atomic<bool> has_task{false}, stops{false};
  Sleep sleep;
  Barrier barrier;  // of the team whose first worker this is

  void work() {
    for (;;) {
      sleep.wait([&] { return has_task || stops; });
      if (stops) return;
      const Task now = task;
      has_task = false;
      now.run(now.argument, now.team);
      now.team.meet();
    }
  }
};

struct bnn_pool {
  int32_t threads, started = 0;
  pid_t process;
  Worker* workers;
  Worker** idle;
  int32_t idle_count = 0;
  int32_t places, waiting = 0;
  pthread_mutex_t mutex;
  pthread_cond_t freed;
};

namespace bnn {

void run_team(bnn_pool* pool, int32_t threads, void (*run)(void*, const Team&), void* argument) {
  // Threads do not survive a fork: the child computes alone.
  if (pool == nullptr || pool->process != getpid()) {
    run(argument, team_of_one());
    return;
  }
  Worker* workers[kMaxThreads];
  int32_t count = 0;
  pthread_mutex_lock(&pool->mutex);
  ++pool->waiting;
  while (pool->places == 0) pthread_cond_wait(&pool->freed, &pool->mutex);
  --pool->waiting;
  --pool->places;
  while (pool->waiting == 0 && count + 1 < threads && pool->places > 0) {
    workers[count++] = pool->idle[--pool->idle_count];
    --pool->places;
  }
  pthread_mutex_unlock(&pool->mutex);
  const int32_t size = count + 1;
  Barrier* barrier = count > 0 ? &workers[0]->barrier : nullptr;
  for (int32_t i = 0; i < count; ++i) {
    workers[i]->task = {run, argument, {i + 1, size, barrier}};
    workers[i]->has_task = true;
    workers[i]->sleep.wake();
  }
  const Team team = {0, size, barrier};
  run(argument, team);
  team.meet();
  pthread_mutex_lock(&pool->mutex);
  for (int32_t i = 0; i < count; ++i) pool->idle[pool->idle_count++] = workers[i];
  pool->places += size;
  pthread_cond_signal(&pool->freed);
  pthread_mutex_unlock(&pool->mutex);
}

int32_t pool_threads(const bnn_pool* pool) { return pool == nullptr ? 1 : pool->threads; }

namespace {

void* start_worker(void* worker) {
  static_cast<Worker*>(worker)->work();
  return nullptr;
}

}  // namespace
}  // namespace bnn

int bnn_pool_new(int32_t threads, bnn_pool** pool) {
  using namespace bnn;
  if (check_pointer("bnn_pool_new: pool", pool) != BNN_OK ||
      check_range("bnn_pool_new: threads", threads, 1, kMaxThreads) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  const size_t count = static_cast<size_t>(threads - 1);
  bnn_pool* made = new (std::nothrow) bnn_pool;
  Worker* workers = new (std::nothrow) Worker[count];
  Worker** idle = new (std::nothrow) Worker*[count];
  if (made == nullptr || workers == nullptr || idle == nullptr) {
    delete made;
    delete[] workers;
    delete[] idle;
    return fail(BNN_ESYSTEM, "bnn_pool_new: expected memory for %d threads, found none", threads);
  }
  made->threads = made->places = threads;
  made->process = getpid();
  made->workers = workers;
  made->idle = idle;
  pthread_mutex_init(&made->mutex, nullptr);
  pthread_cond_init(&made->freed, nullptr);
  for (size_t i = 0; i < count; ++i) {
    if (pthread_create(&workers[i].thread, nullptr, start_worker, &workers[i]) != 0) {
      bnn_pool_free(made);
      return fail(BNN_ESYSTEM,
                  "bnn_pool_new: expected to start %d threads, the system started %zu; ask for "
                  "fewer",
                  threads - 1, i);
    }
    ++made->started;
    idle[made->idle_count++] = &workers[i];
  }
  *pool = made;
  return BNN_OK;
}

void bnn_pool_free(bnn_pool* pool) {
  if (pool == nullptr) return;
  if (pool->process == getpid()) {
    for (int32_t i = 0; i < pool->started; ++i) {
      pool->workers[i].stops = true;
      pool->workers[i].sleep.wake();
      pthread_join(pool->workers[i].thread, nullptr);
    }
    pthread_cond_destroy(&pool->freed);
    pthread_mutex_destroy(&pool->mutex);
  }
  delete[] pool->workers;
  delete[] pool->idle;
  delete pool;
}
