/* Small steps around the header where cgo would need an allocation, a macro or several calls. */
#ifndef TRUNKLINE_GO_BRIDGE_H
#define TRUNKLINE_GO_BRIDGE_H

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <trunkline.h>

/* A count, or a status as a negative number. */
static inline int64_t tl_try_read(uint64_t stream, uint8_t *buf, size_t cap) {
    size_t n = 0;
    trunkline_status_t status = trunkline_stream_read((trunkline_stream_t){stream}, buf, cap, 0, &n);
    return status == TRUNKLINE_OK ? (int64_t)n : -(int64_t)status;
}

static inline int64_t tl_try_write(uint64_t stream, const uint8_t *buf, size_t len) {
    trunkline_bytes_t one = {buf, len};
    size_t n = 0;
    trunkline_status_t status = trunkline_stream_write((trunkline_stream_t){stream}, &one, 1, 0, &n);
    return status == TRUNKLINE_OK ? (int64_t)n : -(int64_t)status;
}

/* A reply at a glance: its message, and its metadata as far as there is room. */
#define TL_PIECES 12

typedef struct tl_reply {
    const uint8_t *data;
    size_t len;
    size_t initial, trailing; /* pieces that are here; TL_PIECES means that there may be more */
    trunkline_kv_t first[TL_PIECES], last[TL_PIECES];
} tl_reply;

static inline size_t tl_pieces(const trunkline_reply_t *reply, uint32_t which, trunkline_kv_t *pieces) {
    size_t n = 0;
    while (n < TL_PIECES && trunkline_reply_metadata(reply, which, n, &pieces[n]) == TRUNKLINE_OK) n++;
    return n;
}

static inline void tl_look(const trunkline_reply_t *reply, tl_reply *out) {
    out->data = trunkline_reply_data(reply, &out->len);
    out->initial = tl_pieces(reply, TRUNKLINE_METADATA_INITIAL, out->first);
    out->trailing = tl_pieces(reply, TRUNKLINE_METADATA_TRAILING, out->last);
}

/* For Go's poller, which closes what it is given. */
static inline int tl_dup(int fd) {
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static inline int64_t tl_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
