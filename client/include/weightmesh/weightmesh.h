/* weightmesh.h: the trainer's side of weightmesh as a C ABI.
 *
 * A trainer attaches its replica to the daemon of its node, and once a round publishes its weights
 * and mixes in what arrived:
 *
 *   lockstep   weightmesh_exchange   after each optimizer step: publish, wait, mix
 *   overlap    weightmesh_step       after each optimizer step: mix the last round, publish, return
 *   async      weightmesh_step       the same, but what is mixed may be up to staleness_rounds_max
 *                                    rounds older: for nodes of different speed
 *
 * Weights are fp32, in any number of tensors, each contiguous and row-major. Tensor pointers are
 * passed on every call and are not kept after it. A failure of the mesh is never the trainer's: a
 * segment that did not arrive keeps its own value, and without a daemon the trainer trains on
 * alone.
 *
 * Threads: one handle is used by one thread at a time; different handles are independent. A second
 * thread gets WEIGHTMESH_INVALID at once; but weightmesh_detach it may call. A handle that was
 * detached, or never was one, is WEIGHTMESH_INVALID too, however old: handles are never given out
 * twice. A forked child cannot use its parent's handles (WEIGHTMESH_INVALID); it may detach them,
 * which the mesh does not see, and attach anew.
 *
 * Alone: when a call returns WEIGHTMESH_ALONE, train on and go on calling: it costs next to
 * nothing, and the weights stay as they are. A handle whose daemon died looks for it once a second,
 * in weightmesh_exchange and weightmesh_step; once that is back, the call joins the run again,
 * which takes up to rejoin_timeout_ms, and the others' weights take the place of what was trained
 * alone: weightmesh_round.rejoined says so. A daemon that hangs and takes no commands is no death:
 * the next call may succeed. Any other handle that is alone stays so. To take part again, detach it
 * and weightmesh_join: now and then (say, once a minute), for it returns WEIGHTMESH_ALONE at once
 * while there is no daemon. Where nobody of the run is left (WEIGHTMESH_START_TIMEOUT), all
 * replicas can attach anew and found it again: with allow_different_init from the weights that each
 * has. An attach is WEIGHTMESH_REFUSED while any replica of the run lives.
 *
 * Structs begin with struct_size, which the caller sets to sizeof the struct (WEIGHTMESH_INIT
 * does).
 */
#ifndef WEIGHTMESH_WEIGHTMESH_H_
#define WEIGHTMESH_WEIGHTMESH_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIGHTMESH_API __attribute__((visibility("default")))

/* What a call came to. */
typedef enum weightmesh_status {
  WEIGHTMESH_OK = 0,
  /* No daemon: nothing was exchanged, the weights are as they were, training can go on. */
  WEIGHTMESH_ALONE = 1,
  /* The arguments or the order of calls are wrong; nothing was done. */
  WEIGHTMESH_INVALID = 2,
  /* The daemon refused the attach; weightmesh_message says why and what to do. */
  WEIGHTMESH_REFUSED = 3,
  /* The run's founders did not all come within start_timeout_ms. */
  WEIGHTMESH_START_TIMEOUT = 4,
  /* The operating system refused memory or descriptors. */
  WEIGHTMESH_RESOURCES = 5,
  /* The daemon drains, and this replica has left the run in order, with its last round mixed. Save
   * what is to be saved; later calls return WEIGHTMESH_ALONE. */
  WEIGHTMESH_DRAINED = 6,
  /* weightmesh_consensus: not all replicas agreed in time. */
  WEIGHTMESH_NO_CONSENSUS = 7
} weightmesh_status;

typedef enum weightmesh_mode {
  WEIGHTMESH_LOCKSTEP = 1,
  WEIGHTMESH_OVERLAP = 2,
  WEIGHTMESH_ASYNC = 3
} weightmesh_mode;

typedef enum weightmesh_schedule {
  WEIGHTMESH_HASH_CYCLE = 1,
  WEIGHTMESH_DERANGEMENT = 2,
  WEIGHTMESH_EXPONENTIAL = 3
} weightmesh_schedule;

typedef enum weightmesh_wire { WEIGHTMESH_FP32 = 1, WEIGHTMESH_BF16 = 2 } weightmesh_wire;

/* How a pull ended; index of weightmesh_round.pulls. */
typedef enum weightmesh_outcome {
  WEIGHTMESH_NONE = 0,
  WEIGHTMESH_ARRIVED = 1,
  WEIGHTMESH_LATE = 2,
  WEIGHTMESH_GONE = 3,
  WEIGHTMESH_SKIPPED = 4,
  WEIGHTMESH_BUSY = 5,
  WEIGHTMESH_DEAD = 6,
  WEIGHTMESH_CORRUPT = 7,
  WEIGHTMESH_PEER_REFUSED = 8,
  WEIGHTMESH_CANCELLED = 9,
  WEIGHTMESH_OUTCOME_COUNT = 10
} weightmesh_outcome;

/* Of weightmesh_set_blob. */
#define WEIGHTMESH_BLOB_BYTES_MAX 65536

/* For weightmesh_options.rejoin_timeout_ms. */
#define WEIGHTMESH_NEVER_REJOIN 0xffffffffu

/* One tensor of the model. */
typedef struct weightmesh_tensor {
  const char* name;      /* not empty, unique in the model */
  const uint64_t* shape; /* row-major extents; may be NULL when rank is 0 */
  size_t rank;           /* 0: a scalar */
} weightmesh_tensor;

/* How to attach. Zero, or NULL, takes the default given in brackets. */
typedef struct weightmesh_options {
  size_t struct_size;
  const char* socket_path;  /* of the daemon [WEIGHTMESH_SOCKET, or /run/weightmesh/attach.sock] */
  const char* run_id;       /* names the training job; required */
  const char* replica_name; /* unique in the run [<hostname>/<LOCAL_RANK or 0>] */

  /* Equal on all replicas of the run: */
  uint64_t seed;              /* of the schedule */
  uint32_t schedule;          /* weightmesh_schedule [WEIGHTMESH_HASH_CYCLE] */
  uint32_t mode;              /* weightmesh_mode [WEIGHTMESH_LOCKSTEP] */
  uint32_t wire;              /* weightmesh_wire [WEIGHTMESH_FP32] */
  uint32_t replicas_min;      /* replicas to wait for before the first round [1] */
  double alpha;               /* mixing weight, in (0, 1] [0.5] */
  uint64_t round_deadline_ms; /* longest wait of a round [5000] */
  uint64_t segments; /* equal slices of the flattened model [18, or the parameters if fewer] */
  const uint64_t*
      segment_bounds;   /* instead: segments + 1 ascending parameter indices, 0 first [NULL] */
  uint64_t start_round; /* the first round is this + 1: set it to resume [0] */
  uint32_t allow_different_init; /* 1: initial weights may differ among replicas [0] */

  /* This replica's own: */
  uint32_t slots;            /* snapshots kept, 2 to 8 [3] */
  uint32_t mix_threads;      /* threads that publish and mix, 1 to 64 [1] */
  uint64_t start_timeout_ms; /* longest wait for the founders [600000] */
  /* Called while attach waits, from within it; `message` lives for the call. May be NULL. */
  void (*progress)(const char* message, void* progress_context);
  void* progress_context;

  /* Equal on all replicas of the run, in mode WEIGHTMESH_ASYNC only: how many rounds older than its
   * own round a replica takes a peer's snapshot, 1 to 1024. The newest snapshot of a peer that is k
   * times slower than the fastest replica is up to about k rounds old. [8] */
  uint32_t staleness_rounds_max;

  /* This replica's own: when its daemon has died and is back, weightmesh_exchange and
   * weightmesh_step join the run again by themselves, and that call takes up to so long; the
   * weights are then the others', as after weightmesh_join, and weightmesh_round.rejoined says so.
   * WEIGHTMESH_NEVER_REJOIN: the replica stays alone. [30000] */
  uint32_t rejoin_timeout_ms;
} weightmesh_options;

/* What one exchange, step or mix did. */
typedef struct weightmesh_round {
  size_t struct_size;
  uint64_t round;     /* that was mixed; 0: none */
  uint32_t segments;  /* pulls that were due: 0 when alone in the view */
  uint32_t published; /* 1: a snapshot was published in this call; 0: skipped, or not asked for */
  uint32_t pulls[WEIGHTMESH_OUTCOME_COUNT]; /* by outcome; they add up to `segments` */
  double difference_squared;                /* sum over mixed parameters of (peer - own)² */
  double wait_seconds;                      /* spent waiting for a slot and for pulls */
  uint32_t rejoined; /* 1: the daemon was back, and `weights` are the others' newest since; with
                        WEIGHTMESH_ALONE: it died anew before the first round */
} weightmesh_round;

/* Sums since attach. */
typedef struct weightmesh_totals {
  size_t struct_size;
  uint64_t rounds_published;
  uint64_t rounds_mixed;
  uint64_t publishes_skipped;
  uint64_t pulls[WEIGHTMESH_OUTCOME_COUNT];
  uint64_t replicas;   /* in the view, this one included; 0 when alone */
  uint64_t last_round; /* newest that this replica published */
} weightmesh_totals;

/* Initializes a struct of this header: all zero but its struct_size. */
#ifdef __cplusplus
} /* extern "C" */
template <typename Type>
inline Type weightmesh_init() {
  Type value = Type();
  value.struct_size = sizeof value;
  return value;
}
#define WEIGHTMESH_INIT(type) weightmesh_init<type>()
extern "C" {
#else
#define WEIGHTMESH_INIT(type) \
  { .struct_size = sizeof(type) }
#endif

/* A ticket, not a place in memory: never to be dereferenced. */
typedef struct weightmesh_handle weightmesh_handle;

/* Attaches a replica; blocks until the run starts, at most start_timeout_ms. `tensors[i]` describes
 * the model and `weights[i]` its initial values. `*handle` is set before the wait
 * begins, so that another thread can end it by weightmesh_detach; it must be given to
 * weightmesh_detach whatever the status is. It is null when memory or the 1024 handles of a process
 * are out (WEIGHTMESH_RESOURCES); weightmesh_message(NULL) says which.
 *
 * WEIGHTMESH_OK means that the mesh has started. WEIGHTMESH_ALONE means that no daemon answers at
 * socket_path; every call then returns WEIGHTMESH_ALONE. With any other status the replica was
 * refused: weightmesh_message(*handle) says why, and only weightmesh_message and weightmesh_detach
 * work. */
WEIGHTMESH_API weightmesh_status weightmesh_attach(const weightmesh_options* options,
                                                   const weightmesh_tensor* tensors,
                                                   const float* const* weights, size_t tensor_count,
                                                   weightmesh_handle** handle);

/* What a join came to. */
typedef struct weightmesh_joined {
  size_t struct_size;
  uint64_t round; /* first round that this replica takes part in: the next one that it publishes */
  uint64_t replicas; /* in the view, this one included */
  const void* blob;  /* what a trainer of the run has given to weightmesh_set_blob, opaque; lives as
                        long as the handle; NULL: none has given any */
  size_t blob_bytes; /* at most WEIGHTMESH_BLOB_BYTES_MAX */
} weightmesh_joined;

/* Joins a run that has started: for a trainer that comes late, or comes back. Waits until the run
 * is known and trains, takes the newest weights of the others over into `weights`, and returns
 * shortly before the first round of its own; all of it at most start_timeout_ms. A name that is
 * free is anybody's; that of a replica that is gone is its successor's. Options that are equal on
 * all replicas must be those of the run. `joined` may be NULL. Else as weightmesh_attach;
 * WEIGHTMESH_START_TIMEOUT: nothing to join was found, or not all weights could be had in time.
 * Where it does not return WEIGHTMESH_OK, `weights` are as they were; after WEIGHTMESH_ALONE they
 * may be the others' instead, all of them. */
WEIGHTMESH_API weightmesh_status weightmesh_join(const weightmesh_options* options,
                                                 const weightmesh_tensor* tensors,
                                                 float* const* weights, size_t tensor_count,
                                                 weightmesh_joined* joined,
                                                 weightmesh_handle** handle);

/* Lockstep: publishes `weights`, waits until every pull of the round has an outcome (at most the
 * round deadline), mixes in place. `result` may be NULL. */
WEIGHTMESH_API weightmesh_status weightmesh_exchange(weightmesh_handle* handle,
                                                     float* const* weights, size_t tensor_count,
                                                     weightmesh_round* result);

/* Overlap and async: mixes what the last step's pulls brought, publishes the mixed weights, starts
 * this round's pulls, returns. The pulls of the very last step are mixed by weightmesh_mix. */
WEIGHTMESH_API weightmesh_status weightmesh_step(weightmesh_handle* handle, float* const* weights,
                                                 size_t tensor_count, weightmesh_round* result);

/* The halves of the above: publish begins a round and its pulls; mix collects and mixes it.
 * publish with a round still to be mixed, or mix without one, is WEIGHTMESH_INVALID. */
WEIGHTMESH_API weightmesh_status weightmesh_publish(weightmesh_handle* handle,
                                                    const float* const* weights,
                                                    size_t tensor_count, weightmesh_round* result);
WEIGHTMESH_API weightmesh_status weightmesh_mix(weightmesh_handle* handle, float* const* weights,
                                                size_t tensor_count, weightmesh_round* result);

/* Has replicas that join from now on given a copy of these bytes, along with the weights: step,
 * learning rate, data position, whatever a trainer needs to go on (weightmesh_joined.blob). Each
 * trainer may give its own; who joins gets one that is about as new as the weights. Costs a write
 * to a socket: once a round is fine. At most WEIGHTMESH_BLOB_BYTES_MAX bytes; 0 takes it back. */
WEIGHTMESH_API weightmesh_status weightmesh_set_blob(weightmesh_handle* handle, const void* blob,
                                                     size_t bytes);

/* What weightmesh_consensus came to. */
typedef struct weightmesh_agreement {
  size_t struct_size;
  uint64_t rounds;           /* that were exchanged for it */
  uint64_t last_round;       /* the last of them, the same on all replicas; 0: none */
  uint64_t replicas;         /* in the view, this one included */
  double consensus_distance; /* (1/n)·sum |x_i - mean|², as the replicas estimated it on the way: no
                                less than it is now */
} weightmesh_agreement;

/* Exchanges rounds without training, in any mode, until all replicas agree: until the consensus
 * distance, (1/n)·sum |x_i - mean|² over all parameters, is at most `epsilon` (>= 0, finite). Then
 * the weights of any replica are the model, to be saved; training may go on afterwards. All
 * replicas call it, each when it comes to it; who trains on keeps the others exchanging. They stop
 * together, after a round that is settled ahead. Replicas may come and go meanwhile.
 *
 * In overlap and async the pulls of the last step are mixed first. Rounding sets a limit: in wire
 * bf16 replicas do not come nearer than its steps. WEIGHTMESH_NO_CONSENSUS: not all agreed within
 * `timeout_ms` (0: 60000); the weights are what the exchanges made of them. ALONE and DRAINED as of
 * weightmesh_exchange. `result` may be NULL. */
WEIGHTMESH_API weightmesh_status weightmesh_consensus(weightmesh_handle* handle,
                                                      float* const* weights, size_t tensor_count,
                                                      double epsilon, uint64_t timeout_ms,
                                                      weightmesh_agreement* result);

/* Shows `value` under `name` in the daemon's statistics. At most 16 names of at most 31 bytes,
 * printable ASCII. */
WEIGHTMESH_API weightmesh_status weightmesh_report(weightmesh_handle* handle, const char* name,
                                                   double value);

/* Fills `totals`. */
WEIGHTMESH_API weightmesh_status weightmesh_stats(weightmesh_handle* handle,
                                                  weightmesh_totals* totals);

/* Leaves the run in order: waits, at most the round deadline, until nobody reads or is owed this
 * replica's snapshots. The handle is detached from the mesh afterwards and returns
 * WEIGHTMESH_ALONE. */
WEIGHTMESH_API weightmesh_status weightmesh_leave(weightmesh_handle* handle);

/* Ends the handle and frees what it holds. Without weightmesh_leave the mesh sees a death. NULL is
 * ignored; a handle that was detached already, or is none, is WEIGHTMESH_INVALID.
 *
 * Any thread may call it. A call that is under way on another thread wakes out of its wait and
 * returns WEIGHTMESH_INVALID, and weightmesh_detach returns after it: nothing of the mesh touches
 * weights or options afterwards. From within options.progress it returns at once, and the attach
 * returns WEIGHTMESH_INVALID once progress has. */
WEIGHTMESH_API weightmesh_status weightmesh_detach(weightmesh_handle* handle);

/* What the last call on the handle that did not return WEIGHTMESH_OK came to, for people: names the
 * thing and the cure; to a thread that was refused, why. Any handle will do, also one that was
 * detached. Never NULL; lives until this thread calls weightmesh_message again. */
WEIGHTMESH_API const char* weightmesh_message(const weightmesh_handle* handle);

/* "OK", "ALONE", …; "UNKNOWN" for no status. Static storage. */
WEIGHTMESH_API const char* weightmesh_status_name(weightmesh_status status);

/* "0.1.0". Static storage. */
WEIGHTMESH_API const char* weightmesh_version(void);

#ifdef __cplusplus
}
#endif

#endif /* WEIGHTMESH_WEIGHTMESH_H_ */
