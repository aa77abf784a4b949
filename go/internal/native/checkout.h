/* Acquire and release as one call each, with all that comes out of them in one struct without pointers. */
#ifndef TRUNKLINE_GO_CHECKOUT_H
#define TRUNKLINE_GO_CHECKOUT_H

#include <string.h>
#include <trunkline.h>

/* What an acquire or a release led to. */
typedef struct tl_answer {
    uint64_t op;    /* the one that was begun; 0 for none */
    uint64_t tag;   /* of the one that this is the end of; 0 for none */
    uint64_t lease; /* 0 if nothing is lent */
    uint64_t value;
    uint64_t error; /* a trunkline_error_t, or 0 */
} tl_answer_t;

/* Without a result in *out, one event of kind TRUNKLINE_EV_LEASE with the tag follows. */
static inline int32_t tl_pool_acquire(uint64_t pool, int64_t deadline, const char *holder, size_t holder_len,
                                      uint64_t queue, uint64_t tag, tl_answer_t *out) {
    trunkline_completion_t completion;
    trunkline_leased_t now;
    trunkline_op_t op;
    trunkline_error_t *error = NULL;
    memset(&completion, 0, sizeof completion);
    completion.queue.h = queue;
    completion.tag = tag;
    trunkline_status_t status = trunkline_pool_acquire_async((trunkline_pool_t){pool}, deadline, holder, holder_len,
                                                             &completion, &now, &op, &error);
    out->op = op.h;
    out->tag = 0;
    out->lease = now.lease.h;
    out->value = now.value;
    out->error = (uint64_t)(uintptr_t)error;
    return status;
}

/* A connection if one is ready; WOULD_BLOCK, and no error object, if none is. */
static inline int32_t tl_pool_try(uint64_t pool, const char *holder, size_t holder_len, tl_answer_t *out) {
    trunkline_leased_t now;
    trunkline_status_t status =
        trunkline_pool_acquire((trunkline_pool_t){pool}, 0, holder, holder_len, &now, NULL);
    out->op = 0;
    out->tag = 0;
    out->lease = now.lease.h;
    out->value = now.value;
    out->error = 0;
    return status;
}

/* If somebody was served whose event goes to `queue`, it is *out and *served the status of it; else out->tag is 0. */
static inline int32_t tl_pool_release(uint64_t pool, uint64_t lease, uint32_t flags, uint64_t queue, tl_answer_t *out,
                                      int32_t *served) {
    trunkline_event_t handed;
    trunkline_status_t status = trunkline_pool_release_handing((trunkline_pool_t){pool}, (trunkline_lease_t){lease},
                                                               flags, (trunkline_cq_t){queue}, &handed);
    if (handed.kind == TRUNKLINE_EV_NONE) {
        out->tag = 0;
        return status;
    }
    out->op = 0;
    out->tag = handed.tag;
    out->lease = handed.handle;
    out->value = handed.value;
    out->error = (uint64_t)(uintptr_t)handed.error;
    *served = handed.status;
    return status;
}

static inline trunkline_error_t *tl_error(uint64_t error) {
    return (trunkline_error_t *)(uintptr_t)error;
}

#endif
