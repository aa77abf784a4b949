/*
 * Trunkline: connections, pools and pipes that every language of a process shares.
 *
 * Every function returns a status: TRUNKLINE_OK (0) or one of TRUNKLINE_E_*. Details, where they are wanted,
 * come in an error object through the last parameter `err`; NULL asks for none. Outputs are always written:
 * 0 or NULL when the call fails.
 *
 * Handles ({ uint64_t h; }) name shared objects: pass them by value, use them from any thread at any time. A
 * handle that was freed is TRUNKLINE_E_INVALID_HANDLE ever after, never undefined behaviour. Pointers to
 * trunkline_error_t, trunkline_buf_t and the like are values with one owner: one thread at a time.
 *
 * Texts and bytes come in as pointer and length, UTF-8 where they are text; NULL only with length 0. Texts that
 * come out are NUL-terminated as well.
 *
 * Deadlines are absolute nanoseconds of CLOCK_MONOTONIC; TRUNKLINE_DEADLINE_NONE never comes. Calls with 0 try
 * once and say TRUNKLINE_E_WOULD_BLOCK, with a past one they try once and say TRUNKLINE_E_TIMEOUT. Option structs begin with their size and are set up by their INIT macro; 0 means the default.
 *
 * After a fork the child must not use what it inherited: such handles answer TRUNKLINE_E_FORKED, freeing them
 * does nothing, and new objects work. Callbacks run on threads of the library: they must not block or unwind.
 *
 * Each function's comment says who owns what, whether it blocks, on which threads it may be called, which
 * errors it gives and since which version it is there.
 *
 * Generated from the sources of the library; do not edit.
 */

#ifndef TRUNKLINE_H
#define TRUNKLINE_H

#include <stddef.h>
#include <stdint.h>

/* An absolute deadline that never comes. One of 0 tries once and says WOULD_BLOCK, one in the past TIMEOUT. */
#define TRUNKLINE_DEADLINE_NONE INT64_MAX
/* For trunkline_pool_acquire: the pool's own acquire_timeout, counted from the call. */
#define TRUNKLINE_DEADLINE_DEFAULT INT64_MIN
/* A duration in an options struct that never ends; 0 there means the documented default. */
#define TRUNKLINE_NEVER INT64_MAX

/* How option structs and structs for results start: `trunkline_pipe_options_t o = TRUNKLINE_PIPE_OPTIONS_INIT;` */
#define TRUNKLINE_RUNTIME_OPTIONS_INIT { sizeof(trunkline_runtime_options_t), 0, 0, { NULL, 0 } }
#define TRUNKLINE_CONNECT_OPTIONS_INIT { sizeof(trunkline_connect_options_t), { 0 } }
#define TRUNKLINE_LISTEN_OPTIONS_INIT { sizeof(trunkline_listen_options_t), 0, 0, { 0 } }
#define TRUNKLINE_PIPE_OPTIONS_INIT { sizeof(trunkline_pipe_options_t), 0 }
#define TRUNKLINE_STREAM_STATS_INIT { sizeof(trunkline_stream_stats_t), 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_TCP_MANAGER_STATS_INIT { sizeof(trunkline_tcp_manager_stats_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_DATAGRAM_STATS_INIT { sizeof(trunkline_datagram_stats_t), 0, 0, 0 }
#define TRUNKLINE_UDP_RELAY_OPTIONS_INIT { sizeof(trunkline_udp_relay_options_t), 0 }
#define TRUNKLINE_UDP_MANAGER_STATS_INIT { sizeof(trunkline_udp_manager_stats_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_AGENT_STATS_INIT { sizeof(trunkline_agent_stats_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_MEMORY_COMM_STATS_INIT \
  { sizeof(trunkline_memory_comm_stats_t), 0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_HUB_STATS_INIT { sizeof(trunkline_hub_stats_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_MEMORY_PROXY_STATS_INIT { sizeof(trunkline_memory_proxy_stats_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_KEYED_POOL_STATS_INIT { sizeof(trunkline_keyed_pool_stats_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_POOL_STATS_INIT { sizeof(trunkline_pool_stats_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_DEBUG_COUNTS_INIT { sizeof(trunkline_debug_counts_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TRUNKLINE_INTERCEPTOR_INIT { sizeof(trunkline_interceptor_t), NULL, NULL, NULL, NULL }
#define TRUNKLINE_CALL_OPTIONS_INIT { sizeof(trunkline_call_options_t), 0, NULL, 0, 0, 0, NULL, 0 }

/**
 * There is no connection, and nobody asked for one.
 */
#define TRUNKLINE_CHANNEL_IDLE 0

/**
 * A connection is being made.
 */
#define TRUNKLINE_CHANNEL_CONNECTING 1

/**
 * Calls can be sent.
 */
#define TRUNKLINE_CHANNEL_READY 2

/**
 * The last attempt failed; the next one waits for its time.
 */
#define TRUNKLINE_CHANNEL_TRANSIENT_FAILURE 3

/**
 * It was closed, for good.
 */
#define TRUNKLINE_CHANNEL_SHUTDOWN 4

/**
 * The call waits while no address works, instead of failing.
 */
#define TRUNKLINE_CALL_WAIT_FOR_READY 1

/**
 * The call fails while no address works, also where the service config says that it waits.
 */
#define TRUNKLINE_CALL_FAIL_FAST 2

/**
 * Messages to the server are compressed with gzip.
 */
#define TRUNKLINE_CALL_GZIP 4

/**
 * Messages to the server are compressed with deflate.
 */
#define TRUNKLINE_CALL_DEFLATE 8

/**
 * Credentials may be sent in the clear, over a connection without TLS.
 */
#define TRUNKLINE_CALL_PLAINTEXT_CREDENTIALS 16

/**
 * What came before the messages of an answer.
 */
#define TRUNKLINE_METADATA_INITIAL 0

/**
 * What came behind the messages of an answer.
 */
#define TRUNKLINE_METADATA_TRAILING 1

/**
 * A job: make a connection. The answer's value is its number. `about` says for which endpoint, where there are several.
 */
#define TRUNKLINE_JOB_CONNECT 1

/**
 * A job: see whether the connection `about` can still be used. The value is not looked at.
 */
#define TRUNKLINE_JOB_CHECK 2

/**
 * A job: make the connection `about`, which was given back, ready for its next user. The value is not looked at.
 */
#define TRUNKLINE_JOB_RESET 3

/**
 * A job: close `about`, for the reason that goes with it. An answer is owed here too; its value is not looked at.
 */
#define TRUNKLINE_JOB_CLOSE 4

/**
 * A job: make the value for a key. The answer's value is that value.
 */
#define TRUNKLINE_JOB_MAKE 5

/**
 * A job: say where the connection `about` goes, with trunkline_route_decide.
 */
#define TRUNKLINE_JOB_ROUTE 6

/**
 * A job: say where the target of a channel is, with trunkline_resolve_answer. `about` counts the questions from 1.
 */
#define TRUNKLINE_JOB_RESOLVE 7

/**
 * A job: say how the endpoint is that trunkline_check_question names. The value is not looked at.
 */
#define TRUNKLINE_JOB_CHECK_ENDPOINT 8

/**
 * A job of a memory proxy: say where a request over the connection `about` goes, with trunkline_memory_proxy_answer.
 */
#define TRUNKLINE_JOB_PROXY_ROUTE 9

/**
 * A job of a memory proxy: say whether a request over the connection `about` may go where it leads, and with which fields.
 */
#define TRUNKLINE_JOB_PROXY_PROCESS 10

/**
 * A job of a memory proxy: say which certificate the client of the connection `about` is shown.
 */
#define TRUNKLINE_JOB_PROXY_CERTIFICATE 11

/**
 * It was not used for the idle timeout.
 */
#define TRUNKLINE_POOL_CLOSE_IDLE_TIMEOUT 1

/**
 * It had reached its lifetime.
 */
#define TRUNKLINE_POOL_CLOSE_LIFETIME 2

/**
 * It made room in a full pool.
 */
#define TRUNKLINE_POOL_CLOSE_EVICTED 3

/**
 * Another value was inserted under its key.
 */
#define TRUNKLINE_POOL_CLOSE_REPLACED 4

/**
 * It was made for a key under which another value had been inserted meanwhile.
 */
#define TRUNKLINE_POOL_CLOSE_DUPLICATE 5

/**
 * The program said that it is of no more use.
 */
#define TRUNKLINE_POOL_CLOSE_DISCARDED 6

/**
 * The pool was cleared.
 */
#define TRUNKLINE_POOL_CLOSE_CLEARED 7

/**
 * The pool was freed, or its runtime shut down.
 */
#define TRUNKLINE_POOL_CLOSE_POOL_CLOSED 8

/**
 * It was made too late: nobody waited for it any more.
 */
#define TRUNKLINE_POOL_CLOSE_UNWANTED 9

/**
 * It was found broken when it was put back or about to be lent.
 */
#define TRUNKLINE_POOL_CLOSE_BROKEN 10

/**
 * It did not pass its check or its reset.
 */
#define TRUNKLINE_POOL_CLOSE_INVALID 11

/**
 * The pool was made smaller.
 */
#define TRUNKLINE_POOL_CLOSE_SHRUNK 12

/**
 * A caller took it out of the pool for good.
 */
#define TRUNKLINE_POOL_CLOSE_DETACHED 13

/**
 * Its endpoint was taken out of the pool.
 */
#define TRUNKLINE_POOL_CLOSE_ENDPOINT_REMOVED 14

/**
 * Nothing is logged.
 */
#define TRUNKLINE_LOG_OFF 0

/**
 * Something failed that should not.
 */
#define TRUNKLINE_LOG_ERROR 1

/**
 * Something that somebody should look at.
 */
#define TRUNKLINE_LOG_WARN 2

/**
 * What an operator wants to know.
 */
#define TRUNKLINE_LOG_INFO 3

/**
 * The life of each connection.
 */
#define TRUNKLINE_LOG_DEBUG 4

/**
 * Everything.
 */
#define TRUNKLINE_LOG_TRACE 5

/**
 * Only grows.
 */
#define TRUNKLINE_METRIC_COUNTER 1

/**
 * Goes up and down.
 */
#define TRUNKLINE_METRIC_GAUGE 2

/**
 * A distribution.
 */
#define TRUNKLINE_METRIC_HISTOGRAM 3

/**
 * The host answers TRUNKLINE_JOB_CHECK, so connections that stood idle are checked before they are lent.
 */
#define TRUNKLINE_POOL_CHECKS 1

/**
 * The host answers TRUNKLINE_JOB_RESET, so connections are reset when they come back.
 */
#define TRUNKLINE_POOL_RESETS 2

/**
 * A release that closes the connection instead of lending it again.
 */
#define TRUNKLINE_POOL_DISCARD 1

/**
 * A verdict: the beginning of something known, too short to tell.
 */
#define TRUNKLINE_PROBE_NEED_MORE 1

/**
 * A verdict: it is the protocol that trunkline_probed_protocol names.
 */
#define TRUNKLINE_PROBE_IS 2

/**
 * A verdict: none of the known protocols, or one of them with a mistake in it.
 */
#define TRUNKLINE_PROBE_UNKNOWN 3

/**
 * The host says where requests go: jobs of kind TRUNKLINE_JOB_PROXY_ROUTE.
 */
#define TRUNKLINE_HOOK_ROUTE 1

/**
 * The host says whether they may, and with which fields: jobs of kind TRUNKLINE_JOB_PROXY_PROCESS.
 */
#define TRUNKLINE_HOOK_PROCESS 2

/**
 * The host says which certificate clients of TLS are shown: jobs of kind TRUNKLINE_JOB_PROXY_CERTIFICATE.
 */
#define TRUNKLINE_HOOK_CERTIFICATE 4

/**
 * The operation produced nothing but its status.
 */
#define TRUNKLINE_EV_DONE 0

/**
 * trunkline_connect_async: `handle` is the stream, the receiver's to free.
 */
#define TRUNKLINE_EV_CONNECTED 1

/**
 * trunkline_stream_arm: a read is worth a try.
 */
#define TRUNKLINE_EV_READABLE 2

/**
 * trunkline_stream_arm: a write is worth a try.
 */
#define TRUNKLINE_EV_WRITABLE 3

/**
 * trunkline_listener_arm: an accept is worth a try.
 */
#define TRUNKLINE_EV_ACCEPTABLE 4

/**
 * A drain has ended; `value` is how many connections had to be cut.
 */
#define TRUNKLINE_EV_DRAINED 5

/**
 * A keyed pool gave a value up; `handle` is the value, `value` the reason, one of TRUNKLINE_POOL_CLOSE_*.
 */
#define TRUNKLINE_EV_POOL_CLOSED 6

/**
 * A pool asks for work: `handle` is the trunkline_job_t, to be answered once with trunkline_job_done. The low 32 bits of
 * `value` are one of TRUNKLINE_JOB_*, the high ones the reason of a TRUNKLINE_JOB_CLOSE; `about` is the resource.
 */
#define TRUNKLINE_EV_JOB 7

/**
 * trunkline_keyed_pool_get_or_create_async: `value` is the value under the key, which stays the pool's.
 */
#define TRUNKLINE_EV_POOL_VALUE 8

/**
 * trunkline_pool_acquire_async: `handle` is the lease, `value` what is lent, `about` the pool.
 */
#define TRUNKLINE_EV_LEASE 9

/**
 * trunkline_channel_wait_for_state_change_async: `value` is the state.
 */
#define TRUNKLINE_EV_STATE 10

/**
 * trunkline_channel_call_async, trunkline_call_receive_async: `object` is the trunkline_reply_t, the receiver's to
 * free; NULL at the end of a call with streams.
 */
#define TRUNKLINE_EV_REPLY 11

/**
 * No event: what trunkline_pool_release_handing writes if nobody was served.
 */
#define TRUNKLINE_EV_NONE UINT32_MAX

/**
 * A decision: where the routes say.
 */
#define TRUNKLINE_ROUTE_DEFAULT 0

/**
 * A decision: to the backend that is named.
 */
#define TRUNKLINE_ROUTE_BACKEND 1

/**
 * A decision: to the address that is named, past the backends and their limits.
 */
#define TRUNKLINE_ROUTE_ADDRESS 2

/**
 * A decision: nowhere, the connection is reset as TRUNKLINE_CLOSE_REFUSED.
 */
#define TRUNKLINE_ROUTE_REFUSE 3

/**
 * IPv4, in trunkline_socket_address_t.
 */
#define TRUNKLINE_FAMILY_IPV4 4

/**
 * IPv6, in trunkline_socket_address_t.
 */
#define TRUNKLINE_FAMILY_IPV6 6

/**
 * The call did what it says.
 */
#define TRUNKLINE_OK 0

/**
 * An argument or a configuration is out of its range; a required pointer is NULL. The message names it.
 */
#define TRUNKLINE_E_INVALID_ARGUMENT 1

/**
 * The handle is stale, freed already, or of another type.
 */
#define TRUNKLINE_E_INVALID_HANDLE 2

/**
 * The object, or the runtime below it, was closed by this process.
 */
#define TRUNKLINE_E_CLOSED 3

/**
 * The deadline passed; the error object says at which step.
 */
#define TRUNKLINE_E_TIMEOUT 4

/**
 * The caller cancelled the operation.
 */
#define TRUNKLINE_E_CANCELLED 5

/**
 * Nothing to do right now; wait for readiness and try again.
 */
#define TRUNKLINE_E_WOULD_BLOCK 6

/**
 * A call that waits was made on a thread of the library or inside a callback.
 */
#define TRUNKLINE_E_WOULD_DEADLOCK 7

/**
 * The handle was inherited over a fork. Make new objects in the child.
 */
#define TRUNKLINE_E_FORKED 8

/**
 * A limit is reached: connections, handles, outstanding operations, open files.
 */
#define TRUNKLINE_E_LIMIT_EXCEEDED 9

/**
 * The destination refused, or could not be reached.
 */
#define TRUNKLINE_E_CONNECTION_FAILED 10

/**
 * The local address could not be bound.
 */
#define TRUNKLINE_E_BIND_FAILED 11

/**
 * The connection was reset, aborted or lost.
 */
#define TRUNKLINE_E_BROKEN 12

/**
 * TLS or identity failed.
 */
#define TRUNKLINE_E_TLS 13

/**
 * The peer broke the protocol.
 */
#define TRUNKLINE_E_PROTOCOL 14

/**
 * A call ended with a gRPC status; trunkline_error_rpc_code has it.
 */
#define TRUNKLINE_E_RPC 15

/**
 * A callback of the host failed.
 */
#define TRUNKLINE_E_CALLBACK 16

/**
 * This build or platform cannot do it.
 */
#define TRUNKLINE_E_UNSUPPORTED 17

/**
 * The caller's header and this library do not fit together.
 */
#define TRUNKLINE_E_VERSION 18

/**
 * A bug: a panic was caught at the border.
 */
#define TRUNKLINE_E_PANIC 19

/**
 * Memory ran out.
 */
#define TRUNKLINE_E_NO_MEMORY 20

/**
 * A failure that only datagrams know; the message says which.
 */
#define TRUNKLINE_E_UDP 21

/**
 * There is nothing under the key.
 */
#define TRUNKLINE_E_NOT_FOUND 22

/**
 * The same operation may be tried again without risk of being applied twice.
 */
#define TRUNKLINE_ERR_RETRYABLE 1

/**
 * It is certain that no byte of the operation left this process.
 */
#define TRUNKLINE_ERR_NOT_SENT 2

/**
 * The destination failed so often that it is not tried for a while.
 */
#define TRUNKLINE_ERR_CIRCUIT_OPEN 4

/**
 * What was being done when an operation failed: configuring or checking an argument.
 */
#define TRUNKLINE_STEP_CONFIGURE 1

/**
 * Looking a host name up.
 */
#define TRUNKLINE_STEP_RESOLVE 2

/**
 * Reaching the destination.
 */
#define TRUNKLINE_STEP_CONNECT 3

/**
 * Binding the local address.
 */
#define TRUNKLINE_STEP_BIND 4

/**
 * Taking a connection from a listener.
 */
#define TRUNKLINE_STEP_ACCEPT 5

/**
 * Taking a connection or a place from a pool.
 */
#define TRUNKLINE_STEP_ACQUIRE 6

/**
 * Reading.
 */
#define TRUNKLINE_STEP_READ 7

/**
 * Writing.
 */
#define TRUNKLINE_STEP_WRITE 8

/**
 * Ending one direction or the whole connection.
 */
#define TRUNKLINE_STEP_SHUTDOWN 9

/**
 * Waiting for connections to finish.
 */
#define TRUNKLINE_STEP_DRAIN 10

/**
 * Waiting for an event.
 */
#define TRUNKLINE_STEP_WAIT 11

/**
 * Calling a method of a service.
 */
#define TRUNKLINE_STEP_CALL 12

/**
 * Interest in reading, for trunkline_stream_arm; the read side, for trunkline_stream_shutdown.
 */
#define TRUNKLINE_READABLE 1

/**
 * Interest in writing, for trunkline_stream_arm; the write side, for trunkline_stream_shutdown.
 */
#define TRUNKLINE_WRITABLE 2

/**
 * The near end, for trunkline_stream_address.
 */
#define TRUNKLINE_LOCAL 0

/**
 * The far end, for trunkline_stream_address.
 */
#define TRUNKLINE_PEER 1

/**
 * A TCP socket, in trunkline_stream_stats_t.
 */
#define TRUNKLINE_PROTOCOL_TCP 1

/**
 * A Unix stream socket.
 */
#define TRUNKLINE_PROTOCOL_UNIX 2

/**
 * An in-memory pipe.
 */
#define TRUNKLINE_PROTOCOL_PIPE 3

/**
 * TLS over a TCP socket.
 */
#define TRUNKLINE_PROTOCOL_TLS 4

/**
 * A logical connection through a tunnel.
 */
#define TRUNKLINE_PROTOCOL_TUNNEL 5

/**
 * Both sides had said all they wanted to: an orderly end.
 */
#define TRUNKLINE_CLOSE_FINISHED 1

/**
 * Closed by the local program while it could still have been used.
 */
#define TRUNKLINE_CLOSE_LOCAL 2

/**
 * The peer reset it, or the network broke it.
 */
#define TRUNKLINE_CLOSE_RESET 3

/**
 * No byte moved for the idle timeout.
 */
#define TRUNKLINE_CLOSE_IDLE_TIMEOUT 4

/**
 * One side had finished and the other stayed silent for the half-close timeout.
 */
#define TRUNKLINE_CLOSE_HALF_CLOSE_TIMEOUT 5

/**
 * The destination could not be reached.
 */
#define TRUNKLINE_CLOSE_CONNECT_FAILED 6

/**
 * A drain reached its deadline first.
 */
#define TRUNKLINE_CLOSE_DRAINED 7

/**
 * Its owner was dropped or its task was cancelled.
 */
#define TRUNKLINE_CLOSE_CANCELLED 8

/**
 * It made room for another one.
 */
#define TRUNKLINE_CLOSE_EVICTED 9

/**
 * It was turned away before it reached a backend: no route, or no good PROXY header.
 */
#define TRUNKLINE_CLOSE_REFUSED 10

/**
 * Ended by its number, by this program.
 */
#define TRUNKLINE_CLOSE_KILLED 11

/**
 * It had lasted for the maximum that was configured.
 */
#define TRUNKLINE_CLOSE_MAX_DURATION 12

/**
 * Its source had as many connections as it may have, or there was no room to count one more source.
 */
#define TRUNKLINE_CLOSE_SOURCE_LIMIT 13

/**
 * Its backend had as many connections as it may have, and no room in its line.
 */
#define TRUNKLINE_CLOSE_BACKEND_FULL 14

/**
 * It had waited for a place of its backend for as long as it may.
 */
#define TRUNKLINE_CLOSE_QUEUE_TIMEOUT 15

/**
 * The peer's fault: its certificate is missing, expired, damaged or not trusted here.
 */
#define TRUNKLINE_TLS_FAULT_PEER_CERTIFICATE 1

/**
 * The peer's fault, or the address's: its certificate is good, and for another name.
 */
#define TRUNKLINE_TLS_FAULT_NAME_MISMATCH 2

/**
 * Ours: our certificate is expired, does not go with its key, or is refused by the peer.
 */
#define TRUNKLINE_TLS_FAULT_OWN_CERTIFICATE 3

/**
 * The two do not find together, or the peer does not speak TLS or speaks it wrongly.
 */
#define TRUNKLINE_TLS_FAULT_PROTOCOL 4

/**
 * Major part of the ABI: equal numbers fit together. While it is 0.x, any release may move it.
 */
#define TRUNKLINE_ABI_MAJOR 0

/**
 * Minor part of the ABI: a library fits headers up to its own number.
 */
#define TRUNKLINE_ABI_MINOR 1

/**
 * The ABI of this header, for trunkline_abi_check: major in the upper 16 bits, minor in the lower.
 */
#define TRUNKLINE_ABI 1

/**
 * A call that is about to be sent.
 */
typedef struct trunkline_beginning_t trunkline_beginning_t;

/**
 * Bytes that several owners may share. Owned by one thread at a time; trunkline_buf_ref makes another owner.
 */
typedef struct trunkline_buf_t trunkline_buf_t;

/**
 * A checked configuration that does not change any more. Owned by one thread at a time; freed with
 * trunkline_config_free.
 */
typedef struct trunkline_config_t trunkline_config_t;

/**
 * Why a call failed, in full. Owned by one thread at a time; freed with trunkline_error_free.
 */
typedef struct trunkline_error_t trunkline_error_t;

/**
 * What all instruments of a runtime showed at one moment. Owned by one thread at a time; freed with
 * trunkline_metrics_free.
 */
typedef struct trunkline_metrics_t trunkline_metrics_t;

/**
 * What a probe found. Owned by one thread at a time; freed with trunkline_probed_free.
 */
typedef struct trunkline_probed_t trunkline_probed_t;

/**
 * One message of an answer with its metadata. Owned by one thread at a time; freed with trunkline_reply_free.
 */
typedef struct trunkline_reply_t trunkline_reply_t;

/**
 * Who the peer of a TLS stream is, and what was agreed with it. Owned by one thread at a time; freed with
 * trunkline_tls_session_free.
 */
typedef struct trunkline_tls_session_t trunkline_tls_session_t;

/**
 * Outcome of a call: 0 is success, a positive number an error. Values are never reused, and new ones may appear.
 */
typedef int32_t trunkline_status_t;

/**
 * A runtime: threads, metrics, limits. {0} is the process's default runtime, made on first use.
 *
 * Any thread may use it at any time.
 */
typedef struct trunkline_runtime_t {
  /**
   * Opaque; 0 is the default runtime.
   */
  uint64_t h;
} trunkline_runtime_t;

/**
 * The agent of a tunnel. Any thread may use it at any time.
 */
typedef struct trunkline_agent_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_agent_t;

/**
 * A TLS configuration with its files read, for any number of connections and listeners. Any thread may use it at
 * any time.
 */
typedef struct trunkline_tls_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_tls_t;

/**
 * How to connect. Start from TRUNKLINE_CONNECT_OPTIONS_INIT.
 */
typedef struct trunkline_connect_options_t {
  /**
   * sizeof(trunkline_connect_options_t)
   */
  size_t size;
  /**
   * Secures tls:// addresses, and every connection of a channel; {0} trusts whom the system trusts, and shows
   * nothing. May be freed after the call.
   */
  struct trunkline_tls_t tls;
} trunkline_connect_options_t;

/**
 * A completion queue. Any thread may submit to it; one thread at a time may wait.
 */
typedef struct trunkline_cq_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_cq_t;

/**
 * One completion: 64 bytes whose layout never changes.
 */
typedef struct trunkline_event_t {
  /**
   * The caller's value, as it was given.
   */
  uint64_t tag;
  /**
   * The `h` of the operation's trunkline_op_t; 0 for readiness.
   */
  uint64_t op;
  /**
   * Outcome of the operation.
   */
  trunkline_status_t status;
  /**
   * One of TRUNKLINE_EV_*: says what the fields below hold.
   */
  uint32_t kind;
  /**
   * The `h` of a new object, the receiver's to free; else 0.
   */
  uint64_t handle;
  /**
   * A number, by kind.
   */
  uint64_t value;
  /**
   * An owned trunkline_reply_t, by kind, or NULL.
   */
  void *object;
  /**
   * Owned; NULL when status is OK.
   */
  struct trunkline_error_t *error;
  /**
   * The resource that a job is about, by its number; else 0.
   */
  uint64_t about;
} trunkline_event_t;

/**
 * A callback that takes one completion. It runs once, on a worker thread of the runtime.
 *
 * It owns what is in the event. It must not block, throw, longjmp or unwind.
 */
typedef void (*trunkline_complete_fn)(void *user_data, struct trunkline_event_t *event);

/**
 * Where the result of an operation goes: to a queue, or to a callback. Exactly one of `queue` and `fn` is set.
 */
typedef struct trunkline_completion_t {
  /**
   * {0} when `fn` is set.
   */
  struct trunkline_cq_t queue;
  /**
   * Comes back in the event, as it is.
   */
  uint64_t tag;
  /**
   * NULL when `queue` is set.
   */
  trunkline_complete_fn fn;
  /**
   * Passed to `fn`.
   */
  void *user_data;
} trunkline_completion_t;

/**
 * An operation under way, for trunkline_op_cancel. Needs no free: it is gone with its completion.
 */
typedef struct trunkline_op_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_op_t;

/**
 * A listener on tcp:, unix: or mem:, or of an agent. Any thread may use it at any time.
 */
typedef struct trunkline_listener_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_listener_t;

/**
 * The counts of the two ways between an agent and its listener, side by side: opened - closed = active for each. All
 * are 0 where connections come as they are. Start from TRUNKLINE_MEMORY_COMM_STATS_INIT.
 */
typedef struct trunkline_memory_comm_stats_t {
  /**
   * In: sizeof(trunkline_memory_comm_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * The share of new connections that go by a pipe, from 0 to 1.
   */
  double memory_share;
  /**
   * Connections by a pipe that stand.
   */
  uint64_t memory_active;
  /**
   * Connections by a pipe that stood.
   */
  uint64_t memory_opened;
  /**
   * Connections by a pipe that ended.
   */
  uint64_t memory_closed;
  /**
   * Those that went by a pipe because the socket could not take them.
   */
  uint64_t memory_fallbacks;
  /**
   * Connections that could not go by a pipe.
   */
  uint64_t memory_failed;
  /**
   * Bytes that came from the host by pipes.
   */
  uint64_t memory_bytes_received;
  /**
   * Bytes that went to the host by pipes.
   */
  uint64_t memory_bytes_sent;
  /**
   * Connections over the Unix socket that stand.
   */
  uint64_t socket_active;
  /**
   * Connections over the Unix socket that stood.
   */
  uint64_t socket_opened;
  /**
   * Connections over the Unix socket that ended.
   */
  uint64_t socket_closed;
  /**
   * Those that went over the socket because no pipe could take them.
   */
  uint64_t socket_fallbacks;
  /**
   * Connections that could not go over the socket.
   */
  uint64_t socket_failed;
  /**
   * Bytes that came from the host over the socket.
   */
  uint64_t socket_bytes_received;
  /**
   * Bytes that went to the host over the socket.
   */
  uint64_t socket_bytes_sent;
} trunkline_memory_comm_stats_t;

/**
 * The counts of an agent at one moment: opened - closed = active, in every answer. Start from
 * TRUNKLINE_AGENT_STATS_INIT.
 */
typedef struct trunkline_agent_stats_t {
  /**
   * In: sizeof(trunkline_agent_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Links to hubs that stand.
   */
  uint64_t links;
  /**
   * Links that stood so far.
   */
  uint64_t links_opened;
  /**
   * Attempts that led to no link.
   */
  uint64_t links_failed;
  /**
   * Links whose place another agent of the cluster has taken.
   */
  uint64_t replaced;
  /**
   * Logical connections that stand.
   */
  uint64_t active;
  /**
   * The most that may stand at one time.
   */
  uint64_t limit;
  /**
   * Logical connections that stood.
   */
  uint64_t opened;
  /**
   * Logical connections that ended.
   */
  uint64_t closed;
  /**
   * Logical connections that were not opened.
   */
  uint64_t refused;
  /**
   * Bytes that came from the hubs on logical connections.
   */
  uint64_t bytes_received;
  /**
   * Bytes that went to the hubs on logical connections.
   */
  uint64_t bytes_sent;
} trunkline_agent_stats_t;

/**
 * A function that gives memory back to the host that lent it.
 */
typedef void (*trunkline_release_fn)(void *owner);

/**
 * A channel to a gRPC server. Any thread may use it at any time.
 */
typedef struct trunkline_channel_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_channel_t;

/**
 * Borrowed UTF-8 text, not NUL-terminated.
 */
typedef struct trunkline_str_t {
  /**
   * May be NULL only if `len` is 0.
   */
  const char *ptr;
  /**
   * In bytes.
   */
  size_t len;
} trunkline_str_t;

/**
 * Borrowed bytes.
 */
typedef struct trunkline_bytes_t {
  /**
   * May be NULL only if `len` is 0.
   */
  const uint8_t *ptr;
  /**
   * In bytes.
   */
  size_t len;
} trunkline_bytes_t;

/**
 * One piece of metadata: a name in lower case and its value, any bytes where the name ends in "-bin".
 */
typedef struct trunkline_kv_t {
  /**
   * The name.
   */
  struct trunkline_str_t key;
  /**
   * The value.
   */
  struct trunkline_bytes_t value;
} trunkline_kv_t;

/**
 * How one call is made. Start from TRUNKLINE_CALL_OPTIONS_INIT.
 */
typedef struct trunkline_call_options_t {
  /**
   * sizeof(trunkline_call_options_t)
   */
  size_t size;
  /**
   * When the call is given up, all its attempts included; 0 and TRUNKLINE_DEADLINE_NONE: never, unless the service
   * config says so.
   */
  int64_t deadline_ns;
  /**
   * `metadata_len` pieces; NULL only if there are none. Copied.
   */
  const struct trunkline_kv_t *metadata;
  /**
   * How many there are.
   */
  size_t metadata_len;
  /**
   * TRUNKLINE_CALL_*, together; 0 leaves the choice to the service config.
   */
  uint32_t flags;
  /**
   * Largest message of the answer, in bytes; 0 means the channel's limit, which it cannot exceed.
   */
  uint32_t max_reply;
  /**
   * `credentials_len` pieces that prove who calls, in UTF-8; NULL only if there are none. Copied. Sent as metadata, and
   * never without TLS unless flags ask for it: the call then fails with UNAUTHENTICATED. Shown nowhere.
   */
  const struct trunkline_kv_t *credentials;
  /**
   * How many there are.
   */
  size_t credentials_len;
} trunkline_call_options_t;

/**
 * A call with any number of messages each way. One thread may send while another receives.
 */
typedef struct trunkline_call_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_call_t;

/**
 * Sees a call that is about to be sent, and may add to it or deny it; `call` is good until it returns.
 */
typedef void (*trunkline_begin_fn)(void *user_data, struct trunkline_beginning_t *call);

/**
 * How a call ended.
 */
typedef struct trunkline_ending_t {
  /**
   * sizeof(trunkline_ending_t) of the library.
   */
  size_t size;
  /**
   * Such as "/package.Service/Method".
   */
  struct trunkline_str_t method;
  /**
   * What is said about the status; empty for OK.
   */
  struct trunkline_str_t message;
  /**
   * Nanoseconds since it began, all attempts included.
   */
  int64_t took_ns;
  /**
   * gRPC's status, 0 to 16; 1 (CANCELLED) for a call that was given up.
   */
  int32_t rpc_code;
} trunkline_ending_t;

/**
 * Sees how a call ended that was not denied by this interceptor; `end` is good until it returns.
 */
typedef void (*trunkline_end_fn)(void *user_data, const struct trunkline_ending_t *end);

/**
 * What sees the calls of a channel. Start from TRUNKLINE_INTERCEPTOR_INIT.
 *
 * Its functions run on the thread that makes a blocking call, else on threads of the library; several may run at
 * once. They must not block, throw, longjmp or unwind.
 */
typedef struct trunkline_interceptor_t {
  /**
   * sizeof(trunkline_interceptor_t)
   */
  size_t size;
  /**
   * May be NULL.
   */
  trunkline_begin_fn begin;
  /**
   * May be NULL.
   */
  trunkline_end_fn end;
  /**
   * Passed to every function.
   */
  void *user_data;
  /**
   * Runs exactly once after the last of the others, also when the call that registers it fails; may be NULL.
   */
  trunkline_release_fn release;
} trunkline_interceptor_t;

/**
 * One of the calls that begin together.
 */
typedef struct trunkline_call_request_t {
  /**
   * Such as "/package.Service/Method". Copied.
   */
  struct trunkline_str_t method;
  /**
   * The message. Copied.
   */
  struct trunkline_bytes_t message;
  /**
   * How the call is made; NULL for the defaults.
   */
  const struct trunkline_call_options_t *options;
  /**
   * Comes back in the event, in place of the completion's.
   */
  uint64_t tag;
} trunkline_call_request_t;

/**
 * A job: work that a pool asks of its host. Needs no free: it is gone with its answer, or with its pool.
 */
typedef struct trunkline_job_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_job_t;

/**
 * Takes a job. `what` is one of TRUNKLINE_JOB_*, `reason` that of a TRUNKLINE_JOB_CLOSE, `about` the resource.
 *
 * It runs once per job, on a worker thread of the runtime; once that is shut down, on the thread that asks. It must not
 * block, throw, longjmp or unwind. The answer may come from inside it, or later from any thread.
 */
typedef void (*trunkline_job_fn)(void *user_data,
                                 struct trunkline_job_t job,
                                 uint32_t what,
                                 uint32_t reason,
                                 uint64_t about);

/**
 * Who does the jobs of a pool, a manager or a channel: a queue, where they are events of kind TRUNKLINE_EV_JOB, or a callback. Exactly one of
 * `queue` and `fn` is set.
 */
typedef struct trunkline_job_host_t {
  /**
   * {0} when `fn` is set. Each connection keeps a place in it, for the job that closes it; each job takes another.
   */
  struct trunkline_cq_t queue;
  /**
   * Comes back in the events, as it is.
   */
  uint64_t tag;
  /**
   * NULL when `queue` is set.
   */
  trunkline_job_fn fn;
  /**
   * Passed to `fn` and `release`.
   */
  void *user_data;
  /**
   * Runs exactly once after the last `fn`, also when the call that registers it fails; may be NULL.
   */
  trunkline_release_fn release;
} trunkline_job_host_t;

/**
 * A TCP manager: a limit, its connections and its relays. Any thread may use it at any time.
 */
typedef struct trunkline_tcp_manager_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_tcp_manager_t;

/**
 * A datagram socket. Any thread may use it at any time.
 */
typedef struct trunkline_datagram_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_datagram_t;

/**
 * An IP address and a port. All zeroes are no address.
 */
typedef struct trunkline_socket_address_t {
  /**
   * In network order; an IPv4 address is in the first four, and the others are 0.
   */
  uint8_t ip[16];
  /**
   * Zone of a link-local IPv6 address, by the number of the interface; else 0.
   */
  uint32_t scope;
  /**
   * In host order.
   */
  uint16_t port;
  /**
   * TRUNKLINE_FAMILY_IPV4 or TRUNKLINE_FAMILY_IPV6; 0 for no address.
   */
  uint8_t family;
  /**
   * 0
   */
  uint8_t reserved0;
} trunkline_socket_address_t;

/**
 * One datagram as it was received.
 */
typedef struct trunkline_received_t {
  /**
   * Bytes that are in the buffer.
   */
  size_t len;
  /**
   * Bytes that the datagram had; more than `len` if the buffer was too short, and then the rest is lost.
   */
  size_t whole_len;
  /**
   * Who sent it.
   */
  struct trunkline_socket_address_t source;
  /**
   * Which of our addresses it was sent to, for an answer to leave from; family 0 where the system does not say.
   */
  struct trunkline_socket_address_t to;
} trunkline_received_t;

/**
 * A place for bytes that are received.
 */
typedef struct trunkline_room_t {
  /**
   * May be NULL only if `len` is 0.
   */
  uint8_t *ptr;
  /**
   * In bytes.
   */
  size_t len;
} trunkline_room_t;

/**
 * The counts of one datagram socket. Start from TRUNKLINE_DATAGRAM_STATS_INIT.
 */
typedef struct trunkline_datagram_stats_t {
  /**
   * In: sizeof(trunkline_datagram_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Datagrams that were received.
   */
  uint64_t datagrams_received;
  /**
   * Datagrams that were sent.
   */
  uint64_t datagrams_sent;
  /**
   * Of those received, the ones that were longer than the buffer for them.
   */
  uint64_t truncated;
} trunkline_datagram_stats_t;

/**
 * Live objects of this process, by type. Start from TRUNKLINE_DEBUG_COUNTS_INIT.
 */
typedef struct trunkline_debug_counts_t {
  /**
   * In: sizeof(trunkline_debug_counts_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Runtimes, without the default one.
   */
  uint64_t runtimes;
  /**
   * Completion queues.
   */
  uint64_t queues;
  /**
   * Operations whose completion has not been sent.
   */
  uint64_t operations;
  /**
   * Streams that were not freed.
   */
  uint64_t streams;
  /**
   * Listeners that were not freed.
   */
  uint64_t listeners;
  /**
   * Keyed pools that were not freed.
   */
  uint64_t keyed_pools;
  /**
   * TCP managers that were not freed.
   */
  uint64_t tcp_managers;
  /**
   * Jobs that were not answered.
   */
  uint64_t jobs;
  /**
   * Checkout pools that were not freed.
   */
  uint64_t pools;
  /**
   * Datagram sockets that were not freed.
   */
  uint64_t datagrams;
  /**
   * UDP managers that were not freed.
   */
  uint64_t udp_managers;
  /**
   * TLS configurations that were not freed.
   */
  uint64_t tls;
  /**
   * Channels that were not freed.
   */
  uint64_t channels;
  /**
   * Calls with streams that were not freed.
   */
  uint64_t calls;
  /**
   * Agents that were not freed.
   */
  uint64_t agents;
  /**
   * Hubs that were not freed.
   */
  uint64_t hubs;
  /**
   * Memory proxies.
   */
  uint64_t memory_proxies;
} trunkline_debug_counts_t;

/**
 * The hub of tunnels. Any thread may use it at any time.
 */
typedef struct trunkline_hub_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_hub_t;

/**
 * A byte stream: TCP, Unix socket, pipe or tunnel. Any thread may use it at any time.
 */
typedef struct trunkline_stream_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_stream_t;

/**
 * The counts of a hub at one moment: opened - closed = active, in every answer. Start from
 * TRUNKLINE_HUB_STATS_INIT.
 */
typedef struct trunkline_hub_stats_t {
  /**
   * In: sizeof(trunkline_hub_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Clusters that have an agent.
   */
  uint64_t clusters;
  /**
   * Links to agents that may get new connections.
   */
  uint64_t links;
  /**
   * Links that stood so far.
   */
  uint64_t links_opened;
  /**
   * Hellos that were turned away.
   */
  uint64_t links_refused;
  /**
   * Links whose place another agent of the cluster has taken.
   */
  uint64_t replaced;
  /**
   * Logical connections that stand.
   */
  uint64_t active;
  /**
   * The most that may stand at one time.
   */
  uint64_t limit;
  /**
   * Logical connections that stood.
   */
  uint64_t opened;
  /**
   * Logical connections that ended.
   */
  uint64_t closed;
  /**
   * Dials that led to none.
   */
  uint64_t refused;
  /**
   * Bytes that came from the agents on logical connections.
   */
  uint64_t bytes_received;
  /**
   * Bytes that went to the agents on logical connections.
   */
  uint64_t bytes_sent;
} trunkline_hub_stats_t;

/**
 * Takes a value that the pool gives up. `reason` is one of TRUNKLINE_POOL_CLOSE_*.
 *
 * It runs once per value, without a lock, in the call that made the value leave or on a worker thread. It must
 * not block, throw, longjmp or unwind; it may use the pool.
 */
typedef void (*trunkline_pool_close_fn)(void *user_data, uint64_t value, uint32_t reason);

/**
 * Where the values go that a pool gives up: to a queue, as events of kind TRUNKLINE_EV_POOL_CLOSED with the value
 * in `handle` and the reason in `value`; or to a callback; or, with neither, nowhere.
 */
typedef struct trunkline_pool_closer_t {
  /**
   * {0} without one. Each value in the pool keeps a place in it.
   */
  struct trunkline_cq_t queue;
  /**
   * Comes back in the events, as it is.
   */
  uint64_t tag;
  /**
   * NULL without one.
   */
  trunkline_pool_close_fn fn;
  /**
   * Passed to `fn` and `release`.
   */
  void *user_data;
  /**
   * Runs exactly once after the last `fn`, also when the call that registers it fails; may be NULL.
   */
  trunkline_release_fn release;
} trunkline_pool_closer_t;

/**
 * A pool of numbers by key. Any thread may use it at any time.
 */
typedef struct trunkline_keyed_pool_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_keyed_pool_t;

/**
 * The counts of a keyed pool, of one moment but for hits and misses. Start from TRUNKLINE_KEYED_POOL_STATS_INIT.
 */
typedef struct trunkline_keyed_pool_stats_t {
  /**
   * In: sizeof(trunkline_keyed_pool_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Entries, those included that have expired and were not pruned.
   */
  uint64_t entries;
  /**
   * The most entries there can be.
   */
  uint64_t max_entries;
  /**
   * Gets that found a value.
   */
  uint64_t hits;
  /**
   * Gets that found none.
   */
  uint64_t misses;
  /**
   * Values that the pool took over.
   */
  uint64_t inserted;
  /**
   * Values that were taken out with trunkline_keyed_pool_remove.
   */
  uint64_t taken;
  /**
   * Values given up because they expired.
   */
  uint64_t expired;
  /**
   * Values given up to make room.
   */
  uint64_t evicted;
  /**
   * Values given up for any reason: inserted = entries + taken + closed.
   */
  uint64_t closed;
  /**
   * Mean age of the entries in nanoseconds; 0 if there is none.
   */
  int64_t average_age_ns;
  /**
   * entries / max_entries
   */
  double utilization;
  /**
   * expired / inserted, 0 if nothing was inserted
   */
  double expiration_ratio;
} trunkline_keyed_pool_stats_t;

/**
 * How to listen. Start from TRUNKLINE_LISTEN_OPTIONS_INIT.
 */
typedef struct trunkline_listen_options_t {
  /**
   * sizeof(trunkline_listen_options_t)
   */
  size_t size;
  /**
   * Connections that may wait to be accepted; 0 means 1024. The system may allow fewer.
   */
  uint32_t backlog;
  /**
   * 0
   */
  uint32_t reserved0;
  /**
   * Secures a tls:// address, which needs one with a server's side. May be freed after the call.
   */
  struct trunkline_tls_t tls;
} trunkline_listen_options_t;

/**
 * One record. All texts are borrowed for the length of the call.
 */
typedef struct trunkline_log_record_t {
  /**
   * Bytes that this library filled: a newer one appends fields.
   */
  size_t size;
  /**
   * One of TRUNKLINE_LOG_*.
   */
  int32_t level;
  /**
   * Line of the source file; 0 where it is not known.
   */
  uint32_t line;
  /**
   * Nanoseconds since 1970.
   */
  uint64_t unix_ns;
  /**
   * The part of the library that speaks.
   */
  struct trunkline_str_t target;
  /**
   * What happened.
   */
  struct trunkline_str_t message;
  /**
   * Source file; empty where it is not known.
   */
  struct trunkline_str_t file;
  /**
   * Details as name=value, separated by blanks; values with blanks are quoted. Those of the operation that the
   * record belongs to follow those of the record.
   */
  struct trunkline_str_t fields;
} trunkline_log_record_t;

/**
 * A callback that takes one record. It may run on any thread that is in the library, on several at once.
 *
 * It must not block, throw, longjmp or unwind. What it makes the library say itself is not logged.
 */
typedef void (*trunkline_log_fn)(void *user_data, const struct trunkline_log_record_t *record);

/**
 * A memory proxy: serves HTTP on listeners, and passes requests on. Any thread may use it at any time.
 */
typedef struct trunkline_memory_proxy_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_memory_proxy_t;

/**
 * The counts of a memory proxy at one moment: opened - closed = active, in every answer. Start from
 * TRUNKLINE_MEMORY_PROXY_STATS_INIT.
 */
typedef struct trunkline_memory_proxy_stats_t {
  /**
   * In: sizeof(trunkline_memory_proxy_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Connections that stand.
   */
  uint64_t active;
  /**
   * The most that may stand at one time.
   */
  uint64_t limit;
  /**
   * Connections that stood.
   */
  uint64_t opened;
  /**
   * Connections that ended.
   */
  uint64_t closed;
  /**
   * Requests that were answered, by a service or by the proxy itself.
   */
  uint64_t requests;
  /**
   * Those of them that the proxy answered itself.
   */
  uint64_t denied;
  /**
   * Connections that were upgraded to another protocol.
   */
  uint64_t upgraded;
  /**
   * TLS handshakes that failed.
   */
  uint64_t handshakes_failed;
  /**
   * Questions to hooks that have no answer.
   */
  uint64_t hooks_failed;
  /**
   * Bytes that came from clients.
   */
  uint64_t bytes_received;
  /**
   * Bytes that went to clients.
   */
  uint64_t bytes_sent;
} trunkline_memory_proxy_stats_t;

/**
 * One series of one metric.
 */
typedef struct trunkline_metric_t {
  /**
   * Borrowed until trunkline_metrics_free; a counter's ends in "_total".
   */
  struct trunkline_str_t name;
  /**
   * As in the text formats, such as protocol="tcp"; borrowed until trunkline_metrics_free.
   */
  struct trunkline_str_t labels;
  /**
   * One of TRUNKLINE_METRIC_*.
   */
  uint32_t kind;
  /**
   * 0
   */
  uint32_t reserved0;
  /**
   * The count or the level; of a histogram the sum of all values (seconds, for durations).
   */
  double value;
  /**
   * How many values a histogram has; else 0.
   */
  uint64_t count;
} trunkline_metric_t;

/**
 * How a pipe is made. Start from TRUNKLINE_PIPE_OPTIONS_INIT.
 */
typedef struct trunkline_pipe_options_t {
  /**
   * sizeof(trunkline_pipe_options_t)
   */
  size_t size;
  /**
   * Bytes that one direction holds at most; 0 means 65536. Memory grows with what is really in it.
   */
  uint64_t capacity;
} trunkline_pipe_options_t;

/**
 * A checkout pool. Any thread may use it at any time.
 */
typedef struct trunkline_pool_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_pool_t;

/**
 * A connection that is lent: a number of its pool. {0} is never one, and after its release it is none for ever.
 */
typedef struct trunkline_lease_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_lease_t;

/**
 * A lease, and what is lent.
 */
typedef struct trunkline_leased_t {
  /**
   * To be released once.
   */
  struct trunkline_lease_t lease;
  /**
   * The host's number of the connection, or the `h` of the stream, which stays the pool's.
   */
  uint64_t value;
} trunkline_leased_t;

/**
 * The counts of a checkout pool, all of one moment: created - closed = idle + used + validating + closing, always. Start
 * from TRUNKLINE_POOL_STATS_INIT.
 */
typedef struct trunkline_pool_stats_t {
  /**
   * In: sizeof(trunkline_pool_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * The most connections that there may be.
   */
  uint64_t max_size;
  /**
   * Connections that are to stand ready.
   */
  uint64_t min_idle;
  /**
   * Connections that stand ready.
   */
  uint64_t idle;
  /**
   * Connections that are lent.
   */
  uint64_t used;
  /**
   * Connections that are being checked or reset.
   */
  uint64_t validating;
  /**
   * Connections that are being made; they are not among `created` yet.
   */
  uint64_t connecting;
  /**
   * Connections that are being closed.
   */
  uint64_t closing;
  /**
   * Callers in line.
   */
  uint64_t waiting;
  /**
   * Connections that were made.
   */
  uint64_t created;
  /**
   * Attempts to connect that failed.
   */
  uint64_t create_failed;
  /**
   * Connections that are gone, for any of the reasons below.
   */
  uint64_t closed;
  /**
   * Leases given out, in all.
   */
  uint64_t acquired;
  /**
   * Of these, those for which an idle connection was there at once.
   */
  uint64_t hits;
  /**
   * Of these, those that went to a caller in line.
   */
  uint64_t handed_over;
  /**
   * Acquires that got nothing before their deadline.
   */
  uint64_t timeouts;
  /**
   * Acquires that were given up by the caller.
   */
  uint64_t cancelled;
  /**
   * Acquires that were refused because too many waited.
   */
  uint64_t refused;
  /**
   * Checks and resets that failed.
   */
  uint64_t invalid;
  /**
   * Connections that a younger one relieved before their end.
   */
  uint64_t relieved;
  /**
   * Leases that were held for longer than `leak_after`.
   */
  uint64_t leaks;
  /**
   * How often the pool was cleared.
   */
  uint64_t epoch;
  /**
   * The most connections that were lent at one time since trunkline_pool_take_stats.
   */
  uint64_t peak_used;
  /**
   * Time for which connections were held, in all.
   */
  uint64_t use_time_ns;
  /**
   * Time for which callers stood in line before they were served, in all.
   */
  uint64_t wait_time_ns;
  /**
   * Closed because they were not used for the idle timeout.
   */
  uint64_t closed_idle_timeout;
  /**
   * Closed because of their age.
   */
  uint64_t closed_lifetime;
  /**
   * Closed because their holder said so.
   */
  uint64_t closed_discarded;
  /**
   * Closed because the pool was cleared.
   */
  uint64_t closed_cleared;
  /**
   * Closed with the pool.
   */
  uint64_t closed_pool_closed;
  /**
   * Closed because they were found broken.
   */
  uint64_t closed_broken;
  /**
   * Closed because they did not pass a check or a reset.
   */
  uint64_t closed_invalid;
  /**
   * Closed because the pool was made smaller.
   */
  uint64_t closed_shrunk;
  /**
   * Taken out of the pool for good.
   */
  uint64_t closed_detached;
  /**
   * Closed because their endpoint was taken out of the pool.
   */
  uint64_t closed_endpoint_removed;
} trunkline_pool_stats_t;

/**
 * How a runtime is made. Start from TRUNKLINE_RUNTIME_OPTIONS_INIT.
 */
typedef struct trunkline_runtime_options_t {
  /**
   * sizeof(trunkline_runtime_options_t)
   */
  size_t size;
  /**
   * Threads that drive the connections, 1 to 1024; 0 means 2, or 1 for a process that may run on one core only.
   */
  uint32_t worker_threads;
  /**
   * Objects with a handle at the same time; 0 means 1048576. Past it LIMIT_EXCEEDED.
   */
  uint32_t max_handles;
  /**
   * Name of the threads, as debuggers show it; empty means "trunkline". Copied.
   */
  struct trunkline_str_t thread_name;
} trunkline_runtime_options_t;

/**
 * The counts of one stream. Start from TRUNKLINE_STREAM_STATS_INIT.
 */
typedef struct trunkline_stream_stats_t {
  /**
   * In: sizeof(trunkline_stream_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Number of the connection, unique in this process; the same as in log records.
   */
  uint64_t id;
  /**
   * Bytes read from the peer so far.
   */
  uint64_t bytes_received;
  /**
   * Bytes written to the peer so far.
   */
  uint64_t bytes_sent;
  /**
   * Nanoseconds since the connection stood.
   */
  uint64_t age_ns;
  /**
   * One of TRUNKLINE_PROTOCOL_*.
   */
  uint32_t protocol;
  /**
   * One of TRUNKLINE_CLOSE_*; 0 while the stream is open.
   */
  int32_t close_reason;
} trunkline_stream_stats_t;

/**
 * The counts of a TCP manager at one moment: opened - closed = active, in every answer. Start from
 * TRUNKLINE_TCP_MANAGER_STATS_INIT.
 */
typedef struct trunkline_tcp_manager_stats_t {
  /**
   * In: sizeof(trunkline_tcp_manager_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Connections that stand.
   */
  uint64_t active;
  /**
   * The most that may stand at one time.
   */
  uint64_t limit;
  /**
   * Connections that stood: accepted + dialled.
   */
  uint64_t opened;
  /**
   * Connections that ended, for any of the reasons below.
   */
  uint64_t closed;
  /**
   * Connections that were accepted.
   */
  uint64_t accepted;
  /**
   * Connections that were dialled; those to the destination of a relay are not counted.
   */
  uint64_t dialled;
  /**
   * Bytes that came from the peers of these connections.
   */
  uint64_t bytes_received;
  /**
   * Bytes that went to the peers of these connections.
   */
  uint64_t bytes_sent;
  /**
   * Times that accepting paused because there were no files or no memory left.
   */
  uint64_t accept_pauses;
  /**
   * Ended in order on both sides.
   */
  uint64_t closed_finished;
  /**
   * Closed by this program.
   */
  uint64_t closed_local;
  /**
   * Reset by a peer, or lost.
   */
  uint64_t closed_reset;
  /**
   * Silent for the idle timeout.
   */
  uint64_t closed_idle_timeout;
  /**
   * Silent for the half-close timeout after one side had ended.
   */
  uint64_t closed_half_close_timeout;
  /**
   * The destination of the relay was not reached.
   */
  uint64_t closed_connect_failed;
  /**
   * Cut by a drain, at its deadline or while they waited for a place of their backend.
   */
  uint64_t closed_drained;
  /**
   * Their owner or their task was gone.
   */
  uint64_t closed_cancelled;
  /**
   * Made room for another one.
   */
  uint64_t closed_evicted;
  /**
   * Turned away before they reached a backend: no route, or no good PROXY header.
   */
  uint64_t closed_refused;
  /**
   * Bytes that relays let the kernel move without copying, both ways together.
   */
  uint64_t bytes_spliced;
  /**
   * Ended by their number, by this program.
   */
  uint64_t closed_killed;
  /**
   * Cut at the maximum duration.
   */
  uint64_t closed_max_duration;
  /**
   * Connections that stand and wait in line for a place of their backend.
   */
  uint64_t waiting;
  /**
   * Their source had as many connections as it may have, or there was no room to count one more source.
   */
  uint64_t closed_source_limit;
  /**
   * Their backend had as many connections as it may have, and no room in its line.
   */
  uint64_t closed_backend_full;
  /**
   * They had waited for a place of their backend for as long as they may.
   */
  uint64_t closed_queue_timeout;
} trunkline_tcp_manager_stats_t;

/**
 * A UDP manager: its limits, its sessions and its relays. Any thread may use it at any time.
 */
typedef struct trunkline_udp_manager_t {
  /**
   * Opaque; 0 is never valid.
   */
  uint64_t h;
} trunkline_udp_manager_t;

/**
 * How one relay differs from the manager's configuration. Start from TRUNKLINE_UDP_RELAY_OPTIONS_INIT.
 */
typedef struct trunkline_udp_relay_options_t {
  /**
   * sizeof(trunkline_udp_relay_options_t)
   */
  size_t size;
  /**
   * Nanoseconds of silence after which a verified session of this relay ends; 0 means the manager's
   * idle_timeout, TRUNKLINE_NEVER no end. 1 ms to 365 days.
   */
  int64_t idle_timeout_ns;
} trunkline_udp_relay_options_t;

/**
 * The counts of a UDP manager at one moment: opened - closed = active = verified + unverified, in every answer.
 * Start from TRUNKLINE_UDP_MANAGER_STATS_INIT.
 */
typedef struct trunkline_udp_manager_stats_t {
  /**
   * In: sizeof(trunkline_udp_manager_stats_t). Out: bytes filled.
   */
  size_t size;
  /**
   * Sessions that stand.
   */
  uint64_t active;
  /**
   * Those of them whose client has answered an answer.
   */
  uint64_t verified;
  /**
   * The others.
   */
  uint64_t unverified;
  /**
   * The most that may stand at one time.
   */
  uint64_t limit;
  /**
   * Sessions that stood.
   */
  uint64_t opened;
  /**
   * Sessions that ended, for any of the reasons below.
   */
  uint64_t closed;
  /**
   * Datagrams that came from clients, dropped ones included.
   */
  uint64_t datagrams_received;
  /**
   * Datagrams that went to clients.
   */
  uint64_t datagrams_sent;
  /**
   * Bytes that came from clients of sessions.
   */
  uint64_t bytes_received;
  /**
   * Bytes that went to clients of sessions.
   */
  uint64_t bytes_sent;
  /**
   * Times that a destination let us know that nobody takes datagrams there. The session goes on.
   */
  uint64_t refused;
  /**
   * Times that receiving paused because it failed.
   */
  uint64_t receive_pauses;
  /**
   * Datagrams that were dropped, for any of the reasons below.
   */
  uint64_t dropped;
  /**
   * Longer than the receiver's buffer.
   */
  uint64_t dropped_truncated;
  /**
   * Longer than the way to their destination carries.
   */
  uint64_t dropped_too_long;
  /**
   * The socket's send buffer was full.
   */
  uint64_t dropped_buffer_full;
  /**
   * Every place for a session was taken by a verified one.
   */
  uint64_t dropped_session_table_full;
  /**
   * Enough datagrams waited for the session's upstream already.
   */
  uint64_t dropped_early_queue_full;
  /**
   * Too much for what an unverified source had sent.
   */
  uint64_t dropped_amplification;
  /**
   * The destination of their session was not reached.
   */
  uint64_t dropped_connect_failed;
  /**
   * Their session ended first.
   */
  uint64_t dropped_session_closed;
  /**
   * They would have begun a session while the manager drains.
   */
  uint64_t dropped_draining;
  /**
   * The system refused to send them.
   */
  uint64_t dropped_send_failed;
  /**
   * Closed by this program.
   */
  uint64_t closed_local;
  /**
   * Silent for the idle timeout of their class.
   */
  uint64_t closed_idle_timeout;
  /**
   * The destination was not reached.
   */
  uint64_t closed_connect_failed;
  /**
   * Cut by a drain.
   */
  uint64_t closed_drained;
  /**
   * Their owner or their task was gone.
   */
  uint64_t closed_cancelled;
  /**
   * Made room for another session.
   */
  uint64_t closed_evicted;
  /**
   * Ended by their number, by this program.
   */
  uint64_t closed_killed;
} trunkline_udp_manager_stats_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * As trunkline_agent_new_with, with the default options.
 *
 * Ownership: the agent is the caller's, to be freed once with trunkline_agent_free. Blocks: no. Threads: any.
 * Errors: as trunkline_agent_new_with. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_agent_new(struct trunkline_runtime_t rt,
                                       const char *json,
                                       size_t json_len,
                                       struct trunkline_agent_t *out,
                                       struct trunkline_error_t **err);

/**
 * Makes an agent, which begins to connect in the background and never gives up. `json` is a document such as
 * {"cluster": "c1", "token": "...", "hubs": ["tls://hub.example:7000"]}. The TLS of the options holds for hubs and
 * targets at tls:// addresses; its client certificate can be what proves the cluster's name.
 *
 * Ownership: the agent is the caller's, to be freed once with trunkline_agent_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_agent_new_with(struct trunkline_runtime_t rt,
                                            const char *json,
                                            size_t json_len,
                                            const struct trunkline_connect_options_t *opts,
                                            struct trunkline_agent_t *out,
                                            struct trunkline_error_t **err);

/**
 * Waits until a tunnel to any hub stands. The error of a TIMEOUT has the reason of the last failed attempt as its cause.
 *
 * Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_HANDLE, TIMEOUT,
 * WOULD_BLOCK, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_agent_wait_ready(struct trunkline_agent_t agent,
                                              int64_t deadline_ns,
                                              struct trunkline_error_t **err);

/**
 * As trunkline_agent_wait_ready; the result is an event of kind TRUNKLINE_EV_DONE.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; the others come with the event, also CANCELLED. Since 0.1.
 */
trunkline_status_t trunkline_agent_wait_ready_async(struct trunkline_agent_t agent,
                                                    int64_t deadline_ns,
                                                    const struct trunkline_completion_t *completion,
                                                    struct trunkline_op_t *op,
                                                    struct trunkline_error_t **err);

/**
 * The listener of an agent: it accepts the connections that name no target, as they are, or by the way that the
 * document's "memory_comm" and "use_memory_comm" say. They wait for it from the agent's beginning. One at a time; freeing it makes place for another, and the hubs' dials are refused meanwhile.
 *
 * Ownership: the listener is the caller's, to be freed once with trunkline_listener_free. Blocks: no. Threads:
 * any. Errors: INVALID_ARGUMENT ("forward" is set), INVALID_HANDLE, BIND_FAILED (another is open),
 * LIMIT_EXCEEDED, CLOSED (also once it drains), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_agent_listener(struct trunkline_agent_t agent,
                                            struct trunkline_listener_t *out,
                                            struct trunkline_error_t **err);

/**
 * Lets `share` of an agent's connections to come reach its listener by a pipe, and the others over a Unix socket: 1 is
 * "use_memory_comm" of the document, 0 is its absence. Connections that stand stay as they are.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (not within 0 and 1, or the document has neither
 * "memory_comm" nor "use_memory_comm"), INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_agent_use_memory_comm(struct trunkline_agent_t agent,
                                                   double share,
                                                   struct trunkline_error_t **err);

/**
 * Fills the counts of the two ways between an agent and its listener.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_agent_memory_comm_stats(struct trunkline_agent_t agent,
                                                     struct trunkline_memory_comm_stats_t *stats);

/**
 * Fills the counts of an agent.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_agent_stats(struct trunkline_agent_t agent,
                                         struct trunkline_agent_stats_t *stats);

/**
 * Tells the hubs to open nothing new, waits until every connection has ended, and at the deadline cuts the rest;
 * `*cut` says how many. Then the tunnels end. Connections that were not accepted yet are reset.
 *
 * With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
 *
 * Ownership: none. Blocks: until the last connection has ended, or the deadline. Threads: any but the library's.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_agent_drain(struct trunkline_agent_t agent,
                                         int64_t deadline_ns,
                                         uint64_t *cut,
                                         struct trunkline_error_t **err);

/**
 * As trunkline_agent_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of
 * connections that were cut in `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then nothing new is opened, and
 * what stands goes on. Since 0.1.
 */
trunkline_status_t trunkline_agent_drain_async(struct trunkline_agent_t agent,
                                               int64_t deadline_ns,
                                               const struct trunkline_completion_t *completion,
                                               struct trunkline_op_t *op,
                                               struct trunkline_error_t **err);

/**
 * Ends every tunnel and connection of an agent, those that it gave away included: every descriptor is gone on
 * return. Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
 * any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_agent_close(struct trunkline_agent_t agent);

/**
 * Frees an agent and ends its tunnels, without waiting; what it accepted is reset with them.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_agent_free(struct trunkline_agent_t agent);

/**
 * Makes a buffer that shares the bytes at `ptr` without a copy. `release(owner)` runs exactly once, after the
 * last owner is gone, on whatever thread that is; also when this call fails.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free; the bytes stay the host's and
 * must not change until the release. Blocks: no. Threads: any. Errors: NULL if `ptr` is NULL and `len` is not 0.
 * Since 0.1.
 *
 * # Safety
 *
 * `ptr` is good for `len` bytes until the release; `release` may be called from any thread.
 */
struct trunkline_buf_t *trunkline_buf_wrap(const uint8_t *ptr,
                                           size_t len,
                                           void *owner,
                                           trunkline_release_fn release);

/**
 * The bytes of a buffer and, in `*len`, how many; NULL and 0 for NULL.
 *
 * Ownership: borrowed until trunkline_buf_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const uint8_t *trunkline_buf_data(const struct trunkline_buf_t *buf, size_t *len);

/**
 * Makes another owner of the same bytes, for another thread; NULL for NULL.
 *
 * Ownership: the new one is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: the owner's.
 * Errors: none. Since 0.1.
 */
struct trunkline_buf_t *trunkline_buf_ref(const struct trunkline_buf_t *buf);

/**
 * Frees a buffer; NULL does nothing.
 *
 * Ownership: takes it. Blocks: no. Threads: any, also finalisers. Errors: none. Since 0.1.
 */
void trunkline_buf_free(struct trunkline_buf_t *buf);

/**
 * As trunkline_channel_new_with, with the default options.
 *
 * Ownership: the channel is the caller's, to be freed once with trunkline_channel_free. Blocks: no. Threads: any.
 * Errors: as trunkline_channel_new_with. Since 0.1.
 *
 * # Safety
 *
 * `target` is good for `target_len` bytes and `json` for `json_len`.
 */
trunkline_status_t trunkline_channel_new(struct trunkline_runtime_t rt,
                                         const char *target,
                                         size_t target_len,
                                         const char *json,
                                         size_t json_len,
                                         struct trunkline_channel_t *out,
                                         struct trunkline_error_t **err);

/**
 * Makes a channel; nothing is connected yet. `target` is such as "dns:api.internal:443", "ipv4:10.0.0.1:80,10.0.0.2:80",
 * "unix:/run/app.sock", "mem:app", "file:/etc/app/servers" with an address in each line, or a list such as "tcp://a:1,mem:b". `json` is a document as for
 * trunkline_config_from_json, such as {"preset": "development"}; empty means the defaults.
 *
 * With a TLS in the options every connection is secured by it: the server must agree to speak HTTP/2 (ALPN h2), and its
 * certificate must be for the configuration's server_name, else for the name that was looked up or the host that the
 * target names ("localhost" behind unix: and mem:). Without one, only a target of tls:// addresses, such as
 * "tls://a:443,tls://b:443", is secured, by whom the system trusts.
 *
 * Ownership: the channel is the caller's, to be freed once with trunkline_channel_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `target` is good for `target_len` bytes and `json` for `json_len`; `opts` is NULL or points to a struct made by its
 * INIT macro.
 */
trunkline_status_t trunkline_channel_new_with(struct trunkline_runtime_t rt,
                                              const char *target,
                                              size_t target_len,
                                              const char *json,
                                              size_t json_len,
                                              const struct trunkline_connect_options_t *opts,
                                              struct trunkline_channel_t *out,
                                              struct trunkline_error_t **err);

/**
 * Begins to connect, if nothing stands or is under way. Calls do so by themselves.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_connect(struct trunkline_channel_t channel);

/**
 * Forgets failures and tries at once what would have waited: the host knows that the network is back.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_reset_connect_backoff(struct trunkline_channel_t channel);

/**
 * The state now, one of TRUNKLINE_CHANNEL_*. With `try_to_connect` other than 0 an idle channel begins to connect.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_state(struct trunkline_channel_t channel,
                                           int32_t try_to_connect,
                                           int32_t *state);

/**
 * Waits until the state is another than `last_seen`, and says which. States that were left again meanwhile are not
 * seen.
 *
 * Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT,
 * INVALID_HANDLE, TIMEOUT, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_wait_for_state_change(struct trunkline_channel_t channel,
                                                           int32_t last_seen,
                                                           int64_t deadline_ns,
                                                           int32_t *state,
                                                           struct trunkline_error_t **err);

/**
 * As trunkline_channel_wait_for_state_change; the result is an event of kind TRUNKLINE_EV_STATE with the state in
 * `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; the others come with the event, also CANCELLED. Since 0.1.
 */
trunkline_status_t trunkline_channel_wait_for_state_change_async(struct trunkline_channel_t channel,
                                                                 int32_t last_seen,
                                                                 int64_t deadline_ns,
                                                                 const struct trunkline_completion_t *completion,
                                                                 struct trunkline_op_t *op,
                                                                 struct trunkline_error_t **err);

/**
 * Connects, and waits until calls can be sent. At the deadline the error's cause says for each address why it does
 * not work and when it is tried again.
 *
 * Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_HANDLE, TIMEOUT,
 * CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_wait_ready(struct trunkline_channel_t channel,
                                                int64_t deadline_ns,
                                                struct trunkline_error_t **err);

/**
 * As trunkline_channel_wait_ready; the result is an event of kind TRUNKLINE_EV_DONE.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; the others come with the event, also CANCELLED. Since 0.1.
 */
trunkline_status_t trunkline_channel_wait_ready_async(struct trunkline_channel_t channel,
                                                      int64_t deadline_ns,
                                                      const struct trunkline_completion_t *completion,
                                                      struct trunkline_op_t *op,
                                                      struct trunkline_error_t **err);

/**
 * Calls `method`, such as "/package.Service/Method", with one message and waits for one. `options` may be NULL.
 *
 * The deadline of the call, all its attempts included, is in the options. A status of gRPC that is not OK is the
 * status RPC here, with trunkline_error_rpc_code and trunkline_error_metadata.
 *
 * Ownership: the reply is the caller's, to be freed with trunkline_reply_free; the request is copied. Blocks: until
 * the deadline of the call. Threads: any but the library's. Errors: RPC, INVALID_ARGUMENT, INVALID_HANDLE, CLOSED,
 * VERSION, WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `method` is good for `method_len` bytes, `request` for `request_len`, and `options` as its fields say.
 */
trunkline_status_t trunkline_channel_call(struct trunkline_channel_t channel,
                                          const char *method,
                                          size_t method_len,
                                          const uint8_t *request,
                                          size_t request_len,
                                          const struct trunkline_call_options_t *options,
                                          struct trunkline_reply_t **reply,
                                          struct trunkline_error_t **err);

/**
 * As trunkline_channel_call; the result is an event of kind TRUNKLINE_EV_REPLY with the trunkline_reply_t in
 * `object`.
 *
 * Ownership: the reply in the event is the receiver's; the request is copied. Blocks: no. Threads: any. Errors: of
 * the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED (the runtime), VERSION, FORKED; the others
 * come with the event, also CANCELLED. Since 0.1.
 *
 * # Safety
 *
 * `method` is good for `method_len` bytes, `request` for `request_len`, and `options` as its fields say.
 */
trunkline_status_t trunkline_channel_call_async(struct trunkline_channel_t channel,
                                                const char *method,
                                                size_t method_len,
                                                const uint8_t *request,
                                                size_t request_len,
                                                const struct trunkline_call_options_t *options,
                                                const struct trunkline_completion_t *completion,
                                                struct trunkline_op_t *op,
                                                struct trunkline_error_t **err);

/**
 * Takes no new calls, lets those under way finish until the deadline, ends the rest, and returns when every
 * descriptor is gone. A deadline of 0 and the past end them at once. Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: until the deadline. Threads: any but the library's. Errors:
 * INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_close(struct trunkline_channel_t channel,
                                           int64_t deadline_ns,
                                           struct trunkline_error_t **err);

/**
 * As trunkline_channel_close; the result is an event of kind TRUNKLINE_EV_DONE.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then no new calls are taken, and
 * those under way go on. Since 0.1.
 */
trunkline_status_t trunkline_channel_close_async(struct trunkline_channel_t channel,
                                                 int64_t deadline_ns,
                                                 const struct trunkline_completion_t *completion,
                                                 struct trunkline_op_t *op,
                                                 struct trunkline_error_t **err);

/**
 * Frees a channel. Calls under way finish, and then its connections close.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_channel_free(struct trunkline_channel_t channel);

/**
 * Begins a call with any number of messages each way, without waiting for the server. `options` may be NULL.
 *
 * Ownership: the call is the caller's, to be freed once with trunkline_call_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (handles), CLOSED, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `method` is good for `method_len` bytes, and `options` as its fields say.
 */
trunkline_status_t trunkline_channel_open(struct trunkline_channel_t channel,
                                          const char *method,
                                          size_t method_len,
                                          const struct trunkline_call_options_t *options,
                                          struct trunkline_call_t *out,
                                          struct trunkline_error_t **err);

/**
 * Sends one message, waiting while several are on their way already.
 *
 * Ownership: the message is copied. Blocks: until the deadline. Threads: any but the library's, one at a time.
 * Errors: CLOSED (the call has ended; trunkline_call_receive says how), RPC (too long), TIMEOUT, WOULD_BLOCK,
 * INVALID_ARGUMENT, INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `message` is good for `message_len` bytes.
 */
trunkline_status_t trunkline_call_send(struct trunkline_call_t call,
                                       const uint8_t *message,
                                       size_t message_len,
                                       int64_t deadline_ns,
                                       struct trunkline_error_t **err);

/**
 * As trunkline_call_send; the result is an event of kind TRUNKLINE_EV_DONE.
 *
 * Ownership: the message is copied. Blocks: no. Threads: any, one at a time. Errors: of the submit
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; the others come with the event, also
 * CANCELLED: then nothing was sent. Since 0.1.
 *
 * # Safety
 *
 * `message` is good for `message_len` bytes.
 */
trunkline_status_t trunkline_call_send_async(struct trunkline_call_t call,
                                             const uint8_t *message,
                                             size_t message_len,
                                             const struct trunkline_completion_t *completion,
                                             struct trunkline_op_t *op,
                                             struct trunkline_error_t **err);

/**
 * Says that no more messages follow. Idempotent.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_call_finish_sending(struct trunkline_call_t call);

/**
 * Waits for the next message; a reply of NULL with OK is the end of a call that ended well.
 *
 * Ownership: the reply is the caller's, to be freed with trunkline_reply_free. Blocks: until the deadline. Threads:
 * any but the library's. Errors: RPC (how the call ended), TIMEOUT, WOULD_BLOCK, CLOSED (cancelled),
 * INVALID_ARGUMENT, INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_call_receive(struct trunkline_call_t call,
                                          int64_t deadline_ns,
                                          struct trunkline_reply_t **reply,
                                          struct trunkline_error_t **err);

/**
 * As trunkline_call_receive; the result is an event of kind TRUNKLINE_EV_REPLY with the trunkline_reply_t in
 * `object`, NULL at the end of a call that ended well.
 *
 * Ownership: the reply in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; the others come with the event, also
 * CANCELLED: then no message is lost. Since 0.1.
 */
trunkline_status_t trunkline_call_receive_async(struct trunkline_call_t call,
                                                const struct trunkline_completion_t *completion,
                                                struct trunkline_op_t *op,
                                                struct trunkline_error_t **err);

/**
 * Waits for what the server sends before its first message; a reply without a message has it.
 *
 * Ownership: the reply is the caller's, to be freed with trunkline_reply_free. Blocks: until the deadline. Threads:
 * any but the library's. Errors: TIMEOUT, WOULD_BLOCK, CLOSED (the runtime), INVALID_ARGUMENT, INVALID_HANDLE,
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_call_initial(struct trunkline_call_t call,
                                          int64_t deadline_ns,
                                          struct trunkline_reply_t **reply,
                                          struct trunkline_error_t **err);

/**
 * As trunkline_call_initial; the result is an event of kind TRUNKLINE_EV_REPLY with the trunkline_reply_t in
 * `object`.
 *
 * Ownership: the reply in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; CANCELLED comes with the event. Since 0.1.
 */
trunkline_status_t trunkline_call_initial_async(struct trunkline_call_t call,
                                                const struct trunkline_completion_t *completion,
                                                struct trunkline_op_t *op,
                                                struct trunkline_error_t **err);

/**
 * What the server sent behind its last message, once trunkline_call_receive has told the end; a reply without a
 * message has it.
 *
 * Ownership: the reply is the caller's, to be freed with trunkline_reply_free. Blocks: while another thread
 * receives. Threads: any but the library's. Errors: CLOSED (the runtime), INVALID_ARGUMENT, INVALID_HANDLE,
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_call_trailing(struct trunkline_call_t call,
                                           struct trunkline_reply_t **reply,
                                           struct trunkline_error_t **err);

/**
 * Gives a call up: the server is told, unless the call has ended. Who waits for it meanwhile is told CLOSED.
 * Idempotent.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_call_cancel(struct trunkline_call_t call);

/**
 * Frees a call, and gives it up if it has not ended.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_call_free(struct trunkline_call_t call);

/**
 * The changes of a channel's state that have a number above `after`, `max` of them at most, 1 to 10000, as a JSON object
 * {"changes", "lost"}. Each change is {"number", "age_ns", "from", "to", "why"}: the first of a channel has number 1, "from" and
 * "to" are "idle", "connecting", "ready", "transient_failure" or "shutdown", and "why" is what failed, or null.
 *
 * As many changes as "state_history" in the configuration says are kept, the latest. "lost" counts those that were asked for
 * and came before all that are kept. The number of the last change, for `after`, begins the next; 0 is before the first.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_history(struct trunkline_channel_t channel,
                                             uint64_t after,
                                             size_t max,
                                             struct trunkline_buf_t **out,
                                             struct trunkline_error_t **err);

/**
 * Waits until there is a change of the channel's state with a number above `after`; `*last` is the number of the latest.
 * trunkline_channel_history has them.
 *
 * Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE,
 * TIMEOUT, CLOSED (the channel is closed, and no change has such a number; or the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_wait_history(struct trunkline_channel_t channel,
                                                  uint64_t after,
                                                  int64_t deadline_ns,
                                                  uint64_t *last,
                                                  struct trunkline_error_t **err);

/**
 * As trunkline_channel_wait_history; the result is an event of kind TRUNKLINE_EV_DONE with the number of the latest change in
 * `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; the others come with the event, also CANCELLED. Since 0.1.
 */
trunkline_status_t trunkline_channel_wait_history_async(struct trunkline_channel_t channel,
                                                        uint64_t after,
                                                        int64_t deadline_ns,
                                                        const struct trunkline_completion_t *completion,
                                                        struct trunkline_op_t *op,
                                                        struct trunkline_error_t **err);

/**
 * What a channel looks like at one moment, as one JSON object: {"target", "state", "state_age_ns", "calls_started",
 * "calls_succeeded", "calls_failed", "calls_queued", "last_call_age_ns", "lookup_error", "next_lookup_ns", "addresses",
 * "pool"}.
 *
 * For each address, those that are left and still carry calls at the end, {"address", "state", "ejected", "calls_started",
 * "calls_succeeded", "calls_failed", "last_call_age_ns", "last_error", "next_attempt_ns", "connections"}; for each of its
 * connections {"id", "local", "remote", "security", "age_ns", "last_call_age_ns", "calls_started", "calls_succeeded",
 * "calls_failed", "calls_active", "calls_limit", "keepalives_sent", "bytes_received", "bytes_sent", "retired"}. "security" is
 * null or {"version", "server_name", "peer_uri"}; "retired" says why a connection takes no new calls, and is null while it does.
 *
 * Calls of an address and of a connection are attempts, each a stream of HTTP/2; those that did not end with OK have failed.
 * "pool" is {"hits", "misses", "created", "closed"}: attempts that found a place on a connection at once and those that waited
 * for one, connections that stood, and those that ended by reason: "idle", "closed", "unlisted", "surplus", "goaway",
 * "unanswered", "lost". "next_attempt_ns" and "next_lookup_ns" are from now. What is not known, or does not apply, is null.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_channel_inspect(struct trunkline_channel_t channel,
                                             struct trunkline_buf_t **out,
                                             struct trunkline_error_t **err);

/**
 * Has the interceptor see every call that begins from now on, behind those that do already.
 *
 * Ownership: copies the struct; `user_data` is released once, also after an error. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT, VERSION, INVALID_HANDLE, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `interceptor` is NULL or points to a struct made by its INIT macro, whose functions may be called with its pointer
 * until the release.
 */
trunkline_status_t trunkline_channel_intercept(struct trunkline_channel_t channel,
                                               const struct trunkline_interceptor_t *interceptor,
                                               struct trunkline_error_t **err);

/**
 * Its method, such as "/package.Service/Method"; NULL for NULL.
 *
 * Ownership: borrowed until the function returns that was given the call. Blocks: no. Threads: that function's. Errors:
 * none. Since 0.1.
 */
const char *trunkline_beginning_method(const struct trunkline_beginning_t *call,
                                       size_t *len);

/**
 * Piece number `i`, from 0, of what went with the call before this interceptor saw it, credentials included.
 *
 * Ownership: name and value are borrowed until the function returns that was given the call. Blocks: no. Threads: that
 * function's. Errors: INVALID_ARGUMENT, NOT_FOUND (there are no more). Since 0.1.
 */
trunkline_status_t trunkline_beginning_metadata(const struct trunkline_beginning_t *call,
                                                size_t i,
                                                struct trunkline_kv_t *out);

/**
 * 1 if the call goes over TLS, else 0.
 *
 * Ownership: none. Blocks: no. Threads: that of the function that was given the call. Errors: none. Since 0.1.
 */
int32_t trunkline_beginning_is_secured(const struct trunkline_beginning_t *call);

/**
 * Adds a piece of metadata: a name in lower case and its value, any bytes where the name ends in "-bin".
 *
 * Ownership: both are copied. Blocks: no. Threads: that of the function that was given the call. Errors: INVALID_ARGUMENT
 * (also a name that is reserved). Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes and `value` for `value_len`.
 */
trunkline_status_t trunkline_beginning_add(struct trunkline_beginning_t *call,
                                           const char *key,
                                           size_t key_len,
                                           const uint8_t *value,
                                           size_t value_len);

/**
 * As trunkline_beginning_add, for what proves who calls: never sent in the clear, and shown nowhere.
 *
 * Ownership: both are copied. Blocks: no. Threads: that of the function that was given the call. Errors: INVALID_ARGUMENT,
 * TLS (the call goes in the clear). Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes and `value` for `value_len`, both UTF-8.
 */
trunkline_status_t trunkline_beginning_add_credentials(struct trunkline_beginning_t *call,
                                                       const char *key,
                                                       size_t key_len,
                                                       const char *value,
                                                       size_t value_len);

/**
 * Denies the call: nothing is sent, and it ends with this status of gRPC, 1 to 16.
 *
 * Ownership: the message is copied. Blocks: no. Threads: that of the function that was given the call. Errors:
 * INVALID_ARGUMENT. Since 0.1.
 *
 * # Safety
 *
 * `message` is good for `message_len` bytes.
 */
trunkline_status_t trunkline_beginning_deny(struct trunkline_beginning_t *call,
                                            int32_t rpc_code,
                                            const char *message,
                                            size_t message_len);

/**
 * As trunkline_channel_call_async for `count` calls, 1 to 4096, which begin in their order: where many are to be made at
 * once, this costs one wake of the library's threads instead of one each, and calls that begin together are sent
 * together. Either all begin, each with its own event, or none; the error then says which request is at fault.
 *
 * Each event has the tag of its request. `ops`, if it is not NULL, has room for `count` and gets what cancels each.
 *
 * Ownership: the replies in the events are the receiver's; the requests are copied. Blocks: no. Threads: any. Errors:
 * of the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED (the runtime), VERSION, FORKED; the others
 * come with the events, also CANCELLED. Since 0.1.
 *
 * # Safety
 *
 * `requests` is good for `count` elements, whose texts and bytes are readable and whose options are as their fields
 * say; `ops` is NULL or good for `count`.
 */
trunkline_status_t trunkline_channel_call_many_async(struct trunkline_channel_t channel,
                                                     const struct trunkline_call_request_t *requests,
                                                     size_t count,
                                                     const struct trunkline_completion_t *completion,
                                                     struct trunkline_op_t *ops,
                                                     struct trunkline_error_t **err);

/**
 * The message and, in `*len`, its length; NULL and 0 for NULL.
 *
 * Ownership: borrowed until trunkline_reply_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const uint8_t *trunkline_reply_data(const struct trunkline_reply_t *reply, size_t *len);

/**
 * Piece number `i`, from 0, of the metadata that came with an answer; `which` is one of TRUNKLINE_METADATA_*.
 *
 * Ownership: name and value are borrowed until trunkline_reply_free. Blocks: no. Threads: the owner's. Errors:
 * INVALID_ARGUMENT, NOT_FOUND (there are no more). Since 0.1.
 */
trunkline_status_t trunkline_reply_metadata(const struct trunkline_reply_t *reply,
                                            uint32_t which,
                                            size_t i,
                                            struct trunkline_kv_t *out);

/**
 * Frees a reply; NULL does nothing.
 *
 * Ownership: takes it. Blocks: no. Threads: any, also finalisers. Errors: none. Since 0.1.
 */
void trunkline_reply_free(struct trunkline_reply_t *reply);

/**
 * As trunkline_channel_new_with, with a channel whose addresses the host says: by a job of kind TRUNKLINE_JOB_RESOLVE when
 * the channel leaves idle, and again when addresses do not work or a connection is lost, one at a time and at most
 * every `resolver.min_interval` of the document. What it says in between goes by trunkline_channel_push_addresses.
 *
 * `target` is for the host, and may be any text of 1 to 4096 bytes. Calls are for what stands behind "scheme:" and
 * "//.../" in it, such as "web:80" of "zone://ns/web:80", and for "localhost" if that is no host; with TLS that host is
 * also whom each server must prove to be, unless the configuration has a server_name.
 *
 * trunkline_resolve_question says what is asked, trunkline_resolve_answer answers. A job that fails, or is not answered
 * within `resolver.timeout`, changes nothing: trunkline_channel_inspect, the log and UNAVAILABLE say why, and there is
 * another job after a while. A job is stale once the channel is closed or freed.
 *
 * Ownership: copies the struct; `user_data` is released once, after the last job or after an error; the channel is
 * the caller's, to be freed once with trunkline_channel_free. Blocks: no. Threads: any. Errors: as
 * trunkline_channel_new_with. Since 0.1.
 *
 * # Safety
 *
 * As for trunkline_channel_new_with; `host` points to a struct whose function may be called with its pointer until the
 * release.
 */
trunkline_status_t trunkline_channel_new_resolved(struct trunkline_runtime_t rt,
                                                  const char *target,
                                                  size_t target_len,
                                                  const char *json,
                                                  size_t json_len,
                                                  const struct trunkline_connect_options_t *opts,
                                                  const struct trunkline_job_host_t *host,
                                                  struct trunkline_channel_t *out,
                                                  struct trunkline_error_t **err);

/**
 * Says where the target of a channel is that was made by trunkline_channel_new_resolved, without being asked: as if a
 * job had been answered. `addresses` are texts such as "tcp://10.0.0.1:443", with a comma between each two. Addresses that
 * stay keep their connections; calls on those that go finish. While the channel is idle it changes nothing: there is a
 * job when it is next called.
 *
 * Ownership: none. Blocks: no. Threads: any, also inside callbacks. Errors: INVALID_ARGUMENT (no address, or a channel of
 * another kind), CONNECTION_FAILED (addresses that no job may be answered with: those before stay), INVALID_HANDLE,
 * CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `addresses` is good for `addresses_len` bytes.
 */
trunkline_status_t trunkline_channel_push_addresses(struct trunkline_channel_t channel,
                                                    const char *addresses,
                                                    size_t addresses_len,
                                                    struct trunkline_error_t **err);

/**
 * What a job of kind TRUNKLINE_JOB_RESOLVE asks, as a JSON object: {"target", "number", "timeout_ns"}. `number` counts the
 * questions of a channel from 1, `timeout_ns` is the time for the answer from when it was asked for.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any, also inside
 * callbacks. Errors: INVALID_ARGUMENT (a job of another kind), INVALID_HANDLE (also when nobody waits for it any more),
 * FORKED. Since 0.1.
 */
trunkline_status_t trunkline_resolve_question(struct trunkline_job_t job,
                                              struct trunkline_buf_t **out,
                                              struct trunkline_error_t **err);

/**
 * Answers a job of kind TRUNKLINE_JOB_RESOLVE with `addresses`, as for trunkline_channel_push_addresses. Whether they can be
 * used is for the channel to see: if not, it says why where trunkline_channel_new_resolved says.
 *
 * A job has one answer: a second one, and one that comes too late, are INVALID_HANDLE and harmless.
 * trunkline_job_done answers as well, with the error that it failed with.
 *
 * Ownership: none. Blocks: no. Threads: any, also inside callbacks. Errors: INVALID_ARGUMENT (also a job of another
 * kind; an answer is then still owed), INVALID_HANDLE, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `addresses` is good for `addresses_len` bytes.
 */
trunkline_status_t trunkline_resolve_answer(struct trunkline_job_t job,
                                            const char *addresses,
                                            size_t addresses_len);

/**
 * Has the host say how each endpoint is of the backends whose `health.check` is `callback`, from now on: by a job of kind
 * TRUNKLINE_JOB_CHECK_ENDPOINT for each check, once at a time for each endpoint. `host` of NULL ends that.
 *
 * trunkline_check_question says which endpoint, trunkline_job_done answers: without an error the endpoint passes, with one
 * it fails for that reason. An error of CALLBACK, CANCELLED or LIMIT_EXCEEDED says that it could not be told; then, and where there is
 * no answer within the document's `health.timeout`, or nobody to be asked, `no_answer` says what that means. The metric
 * trunkline_check_callback_total counts what came of each.
 *
 * Ownership: copies the struct; `user_data` is released once, also after an error. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (also once it drains), FORKED. Since 0.1.
 *
 * # Safety
 *
 * `host` is NULL or points to a struct whose function may be called with its pointer until the release.
 */
trunkline_status_t trunkline_tcp_manager_on_check(struct trunkline_tcp_manager_t manager,
                                                  const struct trunkline_job_host_t *host,
                                                  struct trunkline_error_t **err);

/**
 * What is known of the endpoint that a job of kind TRUNKLINE_JOB_CHECK_ENDPOINT is about, as a JSON object: {"backend",
 * "address", "host", "timeout_ns"}. `host` is the name that led to the address, null where that was given; `timeout_ns` the
 * time for the answer from when it was asked for.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any, also inside
 * callbacks. Errors: INVALID_ARGUMENT (a job of another kind), INVALID_HANDLE (also when nobody waits for it any more),
 * FORKED. Since 0.1.
 */
trunkline_status_t trunkline_check_question(struct trunkline_job_t job,
                                            struct trunkline_buf_t **out,
                                            struct trunkline_error_t **err);

/**
 * Makes the configuration of a preset: "production", "development" or "high_throughput".
 *
 * Ownership: the configuration is the caller's, to be freed with trunkline_config_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT. Since 0.1.
 *
 * # Safety
 *
 * `name` is good for `name_len` bytes.
 */
trunkline_status_t trunkline_config_preset(const char *name,
                                           size_t name_len,
                                           struct trunkline_config_t **out,
                                           struct trunkline_error_t **err);

/**
 * Reads and checks a JSON document such as {"preset": "development", "connect_timeout": "2s"}. Absent keys
 * and null mean the preset's figure, durations are texts such as "500ms", "1h" or "never".
 *
 * Ownership: the configuration is the caller's, to be freed with trunkline_config_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT (names the field and its range). Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_config_from_json(const char *json,
                                              size_t json_len,
                                              struct trunkline_config_t **out,
                                              struct trunkline_error_t **err);

/**
 * Makes the configuration of the preset that the environment variable ENVIRONMENT names; production if it
 * names none.
 *
 * Ownership: the configuration is the caller's, to be freed with trunkline_config_free. Blocks: no. Threads: any
 * while no thread changes the environment. Errors: INVALID_ARGUMENT. Since 0.1.
 */
trunkline_status_t trunkline_config_from_env(struct trunkline_config_t **out,
                                             struct trunkline_error_t **err);

/**
 * Every field as JSON, for trunkline_config_from_json to read back unchanged; NULL for NULL.
 *
 * Ownership: borrowed until trunkline_config_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_config_json(const struct trunkline_config_t *config, size_t *len);

/**
 * A duration in nanoseconds by its path, such as "connect_timeout" or "keepalive.time"; TRUNKLINE_NEVER for
 * one that never ends.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: INVALID_ARGUMENT (also a field that is no
 * duration), NOT_FOUND. Since 0.1.
 *
 * # Safety
 *
 * `path` is good for `path_len` bytes.
 */
trunkline_status_t trunkline_config_get_duration(const struct trunkline_config_t *config,
                                                 const char *path,
                                                 size_t path_len,
                                                 int64_t *ns);

/**
 * A number by its path, such as "max_message_size" or "backoff.jitter"; a boolean is 0 or 1.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: INVALID_ARGUMENT (also a field that is no
 * number), NOT_FOUND. Since 0.1.
 *
 * # Safety
 *
 * `path` is good for `path_len` bytes.
 */
trunkline_status_t trunkline_config_get_number(const struct trunkline_config_t *config,
                                               const char *path,
                                               size_t path_len,
                                               double *value);

/**
 * Frees a configuration; NULL does nothing.
 *
 * Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
void trunkline_config_free(struct trunkline_config_t *config);

/**
 * Binds a datagram socket to `address`, such as "udp://127.0.0.1:0"; port 0 means a free port, told by
 * trunkline_datagram_address. The unspecified address of IPv6 takes IPv4 as well.
 *
 * Ownership: the socket is the caller's, to be freed once with trunkline_datagram_free. Blocks: for the look-up of
 * a host name. Threads: any but the library's. Errors: INVALID_ARGUMENT, BIND_FAILED, LIMIT_EXCEEDED, CLOSED,
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes.
 */
trunkline_status_t trunkline_datagram_bind(struct trunkline_runtime_t rt,
                                           const char *address,
                                           size_t address_len,
                                           struct trunkline_datagram_t *out,
                                           struct trunkline_error_t **err);

/**
 * Sends one datagram to `to`. It leaves from the address `from`, one of this host's such as `to` of a received one,
 * or from what the system chooses if that is NULL or has family 0; its port is not looked at.
 *
 * A deadline of 0 tries once and says WOULD_BLOCK.
 *
 * Ownership: none. Blocks: until the socket's buffer has room, or the deadline. Threads: any, any number at once;
 * those of the library with a past deadline only. Errors: INVALID_ARGUMENT (also a datagram that is longer than the
 * way there carries), INVALID_HANDLE, WOULD_BLOCK, TIMEOUT, CONNECTION_FAILED, CLOSED, WOULD_DEADLOCK, FORKED.
 * Since 0.1.
 *
 * # Safety
 *
 * `data` is good for `len` bytes.
 */
trunkline_status_t trunkline_datagram_send_to(struct trunkline_datagram_t datagram,
                                              const uint8_t *data,
                                              size_t len,
                                              const struct trunkline_socket_address_t *to,
                                              const struct trunkline_socket_address_t *from,
                                              int64_t deadline_ns,
                                              struct trunkline_error_t **err);

/**
 * Takes the next datagram into `buf`. If it is longer than `cap`, that is UDP: the buffer holds its beginning, the
 * rest is lost, and the error names its source.
 *
 * A deadline of 0 tries once and says WOULD_BLOCK.
 *
 * Ownership: none. Blocks: until one is there, or the deadline. Threads: any, any number at once; those of the
 * library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK, TIMEOUT, UDP, CLOSED,
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `buf` is good for `cap` bytes.
 */
trunkline_status_t trunkline_datagram_recv_from(struct trunkline_datagram_t datagram,
                                                uint8_t *buf,
                                                size_t cap,
                                                int64_t deadline_ns,
                                                struct trunkline_received_t *received,
                                                struct trunkline_error_t **err);

/**
 * Takes up to `count` datagrams, each into the room of the same place, and says in `received` what each is; `*n`
 * says how many. It waits for the first alone. One that is longer than its room has a `whole_len` above its `len`.
 *
 * A deadline of 0 tries once and says WOULD_BLOCK.
 *
 * Ownership: none. Blocks: until one is there, or the deadline. Threads: any, any number at once; those of the
 * library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK, TIMEOUT, CLOSED,
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `rooms` and `received` are good for `count` elements, and each room for its bytes.
 */
trunkline_status_t trunkline_datagram_recv_many(struct trunkline_datagram_t datagram,
                                                const struct trunkline_room_t *rooms,
                                                struct trunkline_received_t *received,
                                                size_t count,
                                                int64_t deadline_ns,
                                                size_t *n,
                                                struct trunkline_error_t **err);

/**
 * Asks for one event per direction in `interest` (TRUNKLINE_READABLE, TRUNKLINE_WRITABLE, or both) on `cq`.
 *
 * The event comes at once if the direction is ready, may come for nothing, and comes with CLOSED when the
 * socket is closed. While one is owed for the same direction and queue, arming again gives it the new tag.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (the
 * queue), CLOSED (the queue, or the runtime), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_datagram_arm(struct trunkline_datagram_t datagram,
                                          uint32_t interest,
                                          struct trunkline_cq_t cq,
                                          uint64_t tag);

/**
 * Writes the address that the socket is bound to as text with a NUL; `*len` is without it.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also a buffer that is too short),
 * INVALID_HANDLE, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `text` is good for `cap` bytes.
 */
trunkline_status_t trunkline_datagram_address(struct trunkline_datagram_t datagram,
                                              char *text,
                                              size_t cap,
                                              size_t *len);

/**
 * Fills the address that the socket is bound to.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_datagram_socket_address(struct trunkline_datagram_t datagram,
                                                     struct trunkline_socket_address_t *out);

/**
 * Fills the counts of a socket, also once it is closed.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_datagram_stats(struct trunkline_datagram_t datagram,
                                            struct trunkline_datagram_stats_t *stats);

/**
 * Closes a socket: the descriptor is gone on return, and whoever waits gets CLOSED. Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_datagram_close(struct trunkline_datagram_t datagram);

/**
 * Frees a socket, and closes it if that was not done.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_datagram_free(struct trunkline_datagram_t datagram);

/**
 * Counts the objects that are alive, for tests that look for leaks. Walks the whole table.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, VERSION. Since 0.1.
 *
 * # Safety
 *
 * `counts` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_debug_counts(struct trunkline_debug_counts_t *counts);

/**
 * Fails with the status that is asked for, as a real failure would: for tests of error handling in a host.
 * PANIC really panics inside.
 *
 * Ownership: the error is the caller's. Blocks: no. Threads: any. Errors: the one asked for;
 * INVALID_ARGUMENT for a number that is no status. Since 0.1.
 */
trunkline_status_t trunkline_debug_fail(trunkline_status_t status, struct trunkline_error_t **err);

/**
 * The endpoints of every backend at one moment, as a JSON array: by the names of the backends, and in the order in which
 * they are configured; those of a name are its addresses. For each {"backend", "address", "host", "state", "state_age_ns",
 * "reason", "remaining_ns", "active", "weight", "effective_weight"}.
 *
 * `state` is the first of these that holds: "unhealthy" (it fails its checks), "ejected" (it failed more than the others),
 * "breaker_open" and "breaker_half_open" (it kept failing), "drained" (weight 0), "slow_start" (it has a part of its weight),
 * "healthy" (it passes its checks), "unchecked" (no check has said anything). `state_age_ns` is since when. `reason` of the
 * first four is {"kind", "step", "text"}: "check", "connect" or "ejection"; the step that failed, such as "tls" or "status",
 * or the rule; and words. `remaining_ns` is the time until it may be in use again, or has its whole weight. `active` are
 * connections and attempts to connect. `effective_weight` is what the policy goes by now, 0 where it gets nothing. `host` is
 * the name that led to the address. What is not known, or does not apply, is null.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_endpoints(struct trunkline_tcp_manager_t manager,
                                                   struct trunkline_buf_t **out,
                                                   struct trunkline_error_t **err);

/**
 * The status; OK for NULL.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
trunkline_status_t trunkline_error_status(const struct trunkline_error_t *error);

/**
 * What was being done, one of TRUNKLINE_STEP_*; 0 where it is not known.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
int32_t trunkline_error_step(const struct trunkline_error_t *error);

/**
 * The operating system's error number (errno) behind the failure; 0 if there is none.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
int32_t trunkline_error_os_code(const struct trunkline_error_t *error);

/**
 * The gRPC status, 0 to 16, behind TRUNKLINE_E_RPC; -1 otherwise.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
int32_t trunkline_error_rpc_code(const struct trunkline_error_t *error);

/**
 * Whose fault it is that TLS failed, one of TRUNKLINE_TLS_FAULT_*; 0 if it did not.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
int32_t trunkline_error_tls_fault(const struct trunkline_error_t *error);

/**
 * What the server said with the gRPC status behind TRUNKLINE_E_RPC, as it said it; NULL if there is no such status.
 *
 * Ownership: borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_error_rpc_message(const struct trunkline_error_t *error,
                                        size_t *length);

/**
 * Piece number `i`, from 0, of the metadata that a server sent with the gRPC status behind TRUNKLINE_E_RPC.
 *
 * Ownership: name and value are borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors:
 * INVALID_ARGUMENT, NOT_FOUND (there are no more). Since 0.1.
 */
trunkline_status_t trunkline_error_metadata(const struct trunkline_error_t *error,
                                            size_t i,
                                            struct trunkline_kv_t *out);

/**
 * TRUNKLINE_ERR_RETRYABLE and TRUNKLINE_ERR_NOT_SENT, as far as they are true.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
uint32_t trunkline_error_flags(const struct trunkline_error_t *error);

/**
 * What failed, for people; NUL-terminated, never NULL. The text may change: decide by status and step.
 *
 * Ownership: borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_error_message(const struct trunkline_error_t *error, size_t *length);

/**
 * The address that the connection comes from; NULL where it is not known.
 *
 * Ownership: borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_error_source(const struct trunkline_error_t *error, size_t *length);

/**
 * The address that the connection goes to; NULL where it is not known.
 *
 * Ownership: borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_error_destination(const struct trunkline_error_t *error, size_t *length);

/**
 * What lies behind this error; NULL at the end of the chain.
 *
 * Ownership: borrowed until trunkline_error_free of the first. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const struct trunkline_error_t *trunkline_error_cause(const struct trunkline_error_t *error);

/**
 * Makes an error object, to say why a job failed. A `status` that is no error becomes CALLBACK; bytes of the message
 * that are not UTF-8 become replacement characters, and an empty one the status's name.
 *
 * Ownership: the error is the caller's; takes `cause`, which may be NULL. Blocks: no. Threads: any. Errors: none. Since 0.1.
 *
 * # Safety
 *
 * `message` is good for `message_len` bytes.
 */
struct trunkline_error_t *trunkline_error_new(trunkline_status_t status,
                                              const char *message,
                                              size_t message_len,
                                              struct trunkline_error_t *cause);

/**
 * Frees an error object; NULL does nothing.
 *
 * Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
void trunkline_error_free(struct trunkline_error_t *error);

/**
 * As trunkline_hub_new_with, with the default options.
 *
 * Ownership: the hub is the caller's, to be freed once with trunkline_hub_free. Blocks: no. Threads: any. Errors:
 * as trunkline_hub_new_with. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_hub_new(struct trunkline_runtime_t rt,
                                     const char *json,
                                     size_t json_len,
                                     struct trunkline_hub_t *out,
                                     struct trunkline_error_t **err);

/**
 * Makes a hub that lets in the agents whose tokens or certificates are in `json`, a document such as
 * {"agents": {"c1": ["token"]}, "agent_certificates": {"c2": ["spiffe://example.org/agents/c2"]}, "max_connections": 100};
 * empty means the defaults, by which nobody is let in. The TLS of the options holds for what it listens on at tls:// addresses.
 *
 * Ownership: the hub is the caller's, to be freed once with trunkline_hub_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT (names the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_hub_new_with(struct trunkline_runtime_t rt,
                                          const char *json,
                                          size_t json_len,
                                          const struct trunkline_connect_options_t *opts,
                                          struct trunkline_hub_t *out,
                                          struct trunkline_error_t **err);

/**
 * Lets agents in at `address`, in the background, until the hub is drained, closed or freed.
 *
 * The address that is listened on is written to `bound` as text with a NUL; `*bound_len` is without it. With a
 * `cap` of 0 it is not told.
 *
 * Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors:
 * INVALID_ARGUMENT (also an address at which tokens would cross a network in the clear, a tls:// address without a
 * server's side of TLS, and a `cap` of less than 128 bytes or than `address` with a NUL), INVALID_HANDLE, BIND_FAILED, CLOSED (also once it drains),
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes, and `bound` for `cap`.
 */
trunkline_status_t trunkline_hub_listen(struct trunkline_hub_t hub,
                                        const char *address,
                                        size_t address_len,
                                        char *bound,
                                        size_t cap,
                                        size_t *bound_len,
                                        struct trunkline_error_t **err);

/**
 * Forwards every connection to `listen` to `cluster`, and there to `target` (none with a length of 0: the agent
 * decides), in the background, until the hub is drained, closed or freed. Nobody who connects is asked who it is,
 * so a TCP address must be on loopback unless the hub's "allow_public_forwards" is set.
 *
 * `bound`, `cap` and `bound_len` are as for trunkline_hub_listen.
 *
 * Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors: as
 * trunkline_hub_listen. Since 0.1.
 *
 * # Safety
 *
 * Each text is good for its length, and `bound` for `cap` bytes.
 */
trunkline_status_t trunkline_hub_forward(struct trunkline_hub_t hub,
                                         const char *listen,
                                         size_t listen_len,
                                         const char *cluster,
                                         size_t cluster_len,
                                         const char *target,
                                         size_t target_len,
                                         char *bound,
                                         size_t cap,
                                         size_t *bound_len,
                                         struct trunkline_error_t **err);

/**
 * Serves users who speak HTTP/1 or HTTP/2 at `address`, in the background, until the hub is drained, closed or freed. Each
 * request goes to the cluster that the document's "http": {"routes": [{"path": "/lab", "cluster": "lab"}, ...]} say, if its
 * "users" or "anonymous" let it. docs/tunnel.md has all of it.
 *
 * `bound`, `cap` and `bound_len` are as for trunkline_hub_listen.
 *
 * Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors: as
 * trunkline_hub_listen; INVALID_ARGUMENT also without routes, and where others than this machine could use what is
 * anonymous. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes, and `bound` for `cap`.
 */
trunkline_status_t trunkline_hub_listen_http(struct trunkline_hub_t hub,
                                             const char *address,
                                             size_t address_len,
                                             char *bound,
                                             size_t cap,
                                             size_t *bound_len,
                                             struct trunkline_error_t **err);

/**
 * Serves users who speak SOCKS5 (CONNECT alone) at `address`, in the background, until the hub ends; inside TLS at a tls://
 * address. Who they are is told by a name of the document's "users" with a token as the password, or by a certificate; what
 * the host means that they ask for, by its "socks". `bound`, `cap` and
 * `bound_len` are as for trunkline_hub_listen.
 *
 * Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors: as
 * trunkline_hub_listen; INVALID_ARGUMENT also where others than this machine could use what is anonymous. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes, and `bound` for `cap`.
 */
trunkline_status_t trunkline_hub_listen_socks(struct trunkline_hub_t hub,
                                              const char *address,
                                              size_t address_len,
                                              char *bound,
                                              size_t cap,
                                              size_t *bound_len,
                                              struct trunkline_error_t **err);

/**
 * Opens a connection to `cluster`, and there to `target` (none with a length of 0: the agent decides). It stands once the
 * agent has accepted it.
 *
 * With TRUNKLINE_DEADLINE_NONE the configured "dial_timeout" holds.
 *
 * Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until the
 * deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT (also a target that the agent does not allow),
 * INVALID_HANDLE, LIMIT_EXCEEDED (at once), CONNECTION_FAILED (no agent, nobody listens, target not
 * reached), TIMEOUT, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * Both texts are good for their lengths.
 */
trunkline_status_t trunkline_hub_dial(struct trunkline_hub_t hub,
                                      const char *cluster,
                                      size_t cluster_len,
                                      const char *target,
                                      size_t target_len,
                                      int64_t deadline_ns,
                                      struct trunkline_stream_t *out,
                                      struct trunkline_error_t **err);

/**
 * As trunkline_hub_dial; the result is an event of kind TRUNKLINE_EV_CONNECTED with the stream in `handle`.
 *
 * Ownership: the stream in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (handles, the queue), CLOSED (the runtime), FORKED; the others
 * come with the event, also CANCELLED. Since 0.1.
 *
 * # Safety
 *
 * Both texts are good for their lengths.
 */
trunkline_status_t trunkline_hub_dial_async(struct trunkline_hub_t hub,
                                            const char *cluster,
                                            size_t cluster_len,
                                            const char *target,
                                            size_t target_len,
                                            int64_t deadline_ns,
                                            const struct trunkline_completion_t *completion,
                                            struct trunkline_op_t *op,
                                            struct trunkline_error_t **err);

/**
 * Fills the counts of a hub.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_hub_stats(struct trunkline_hub_t hub,
                                       struct trunkline_hub_stats_t *stats);

/**
 * Lets no agent and no connection in any more, waits until every connection has ended, and at the deadline cuts the
 * rest; `*cut` says how many. Then the tunnels end.
 *
 * With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
 *
 * Ownership: none. Blocks: until the last connection has ended, or the deadline. Threads: any but the library's.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_hub_drain(struct trunkline_hub_t hub,
                                       int64_t deadline_ns,
                                       uint64_t *cut,
                                       struct trunkline_error_t **err);

/**
 * As trunkline_hub_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of connections that
 * were cut in `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then nobody is let in, and
 * what stands goes on. Since 0.1.
 */
trunkline_status_t trunkline_hub_drain_async(struct trunkline_hub_t hub,
                                             int64_t deadline_ns,
                                             const struct trunkline_completion_t *completion,
                                             struct trunkline_op_t *op,
                                             struct trunkline_error_t **err);

/**
 * Ends every listener, tunnel and connection of a hub, those that it gave away included: every descriptor is gone on
 * return. Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
 * any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_hub_close(struct trunkline_hub_t hub);

/**
 * Frees a hub and ends its tunnels and forwards, without waiting; streams that it gave away are reset with them.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_hub_free(struct trunkline_hub_t hub);

/**
 * Answers a job: with `value`, or with why it failed.
 *
 * On OK the value is the pool's, which has it closed if nobody wants it any more: so a job that makes something is
 * still to be answered when it took longer than whoever asked would wait. A job has one answer: a second one, one
 * about a connection that was given up meanwhile, and one that comes after the pool is gone, are INVALID_HANDLE and
 * harmless.
 *
 * Ownership: takes `error`, also when it fails; the value is the pool's on OK, else it stays the caller's. Blocks:
 * no. Threads: any, also inside callbacks. Errors: INVALID_HANDLE, CLOSED, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_job_done(struct trunkline_job_t job,
                                      uint64_t value,
                                      struct trunkline_error_t *error);

/**
 * Makes a keyed pool. `json` is a document such as {"max_size": 100, "idle_timeout": "5m", "when_full":
 * "evict_lru"}; empty means the defaults: 1024 entries, 5 min idle, 30 min lifetime, reject when full.
 *
 * Values are numbers: the `h` of a handle, or an id of the host's. What the pool gives up goes to `closer`.
 *
 * Ownership: the pool is the caller's, to be freed once with trunkline_keyed_pool_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_keyed_pool_new(struct trunkline_runtime_t rt,
                                            const char *json,
                                            size_t json_len,
                                            const struct trunkline_pool_closer_t *closer,
                                            struct trunkline_keyed_pool_t *out,
                                            struct trunkline_error_t **err);

/**
 * Puts `value` under the key. A value that was there is given up as REPLACED.
 *
 * Ownership: the value is the pool's on OK, else it stays the caller's. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (the pool or the closer's queue is full), CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes.
 */
trunkline_status_t trunkline_keyed_pool_insert(struct trunkline_keyed_pool_t pool,
                                               const uint8_t *key,
                                               size_t key_len,
                                               uint64_t value,
                                               struct trunkline_error_t **err);

/**
 * The value under the key, which stays in the pool; this counts as a use of it. An expired one is never given.
 *
 * Ownership: the value stays the pool's, which may give it up at any time: what it names should bear that, as handles
 * do. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, NOT_FOUND, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes.
 */
trunkline_status_t trunkline_keyed_pool_get(struct trunkline_keyed_pool_t pool,
                                            const uint8_t *key,
                                            size_t key_len,
                                            uint64_t *value);

/**
 * Takes the value under the key out of the pool.
 *
 * Ownership: the value is the caller's again; the closer does not see it. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, NOT_FOUND, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes.
 */
trunkline_status_t trunkline_keyed_pool_remove(struct trunkline_keyed_pool_t pool,
                                               const uint8_t *key,
                                               size_t key_len,
                                               uint64_t *value);

/**
 * Gives up every value that is in the pool at the time of the call, as CLEARED.
 *
 * Ownership: the values go to the closer. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_keyed_pool_clear(struct trunkline_keyed_pool_t pool);

/**
 * Gives up values that have expired, 256 looked at at most, and says how many. The pool also does it by itself.
 *
 * Ownership: the values go to the closer. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_keyed_pool_prune_expired(struct trunkline_keyed_pool_t pool,
                                                      uint64_t *count);

/**
 * Fills the counts of a pool.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_keyed_pool_stats(struct trunkline_keyed_pool_t pool,
                                              struct trunkline_keyed_pool_stats_t *stats);

/**
 * Frees a pool; its values are given up as POOL_CLOSED before this returns.
 *
 * Ownership: takes the handle; the values go to the closer. Blocks: no. Threads: any, also finalisers. Errors:
 * INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_keyed_pool_free(struct trunkline_keyed_pool_t pool);

/**
 * How many entries there are, those included that have expired and were not pruned.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_keyed_pool_size(struct trunkline_keyed_pool_t pool, uint64_t *size);

/**
 * The most entries there can be.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_keyed_pool_max_size(struct trunkline_keyed_pool_t pool, uint64_t *max_size);

/**
 * The part of the most entries that there are, from 0 to 1.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_keyed_pool_utilization(struct trunkline_keyed_pool_t pool, double *utilization);

/**
 * The part of all values that ended because they expired, from 0 to 1; 0 if there were none.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_keyed_pool_expiration_ratio(struct trunkline_keyed_pool_t pool, double *ratio);

/**
 * Finds the value under the key, or says that the caller is the one to make it.
 *
 * On OK either `*job` is {0} and `*value` is the value, or `*job` is a job of kind TRUNKLINE_JOB_MAKE: the caller makes
 * a value, in whatever way and on whatever thread, and answers with trunkline_keyed_pool_fill, or with
 * trunkline_job_done and an error where it could not. Until then nobody else makes one for the key, and all who ask
 * for it wait, in the order in which they came; after a failure the next of them has the job. A place in the pool is
 * taken before the job is given.
 *
 * The value is to be made by `make_deadline_ns`, where 0 and TRUNKLINE_DEADLINE_NONE set no limit: what comes later is
 * given up as UNWANTED, and the next one has the job.
 *
 * Ownership: the value stays the pool's, as with trunkline_keyed_pool_get; the job is the caller's to answer once.
 * Blocks: until the deadline. Threads: any but the library's, unless the deadline is past. Errors: INVALID_ARGUMENT,
 * INVALID_HANDLE, WOULD_BLOCK (deadline 0, and somebody makes it or there is no place), TIMEOUT, LIMIT_EXCEEDED (the
 * pool, its closer's queue or the runtime is full), CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes.
 */
trunkline_status_t trunkline_keyed_pool_get_or_create(struct trunkline_keyed_pool_t pool,
                                                      const uint8_t *key,
                                                      size_t key_len,
                                                      int64_t deadline_ns,
                                                      int64_t make_deadline_ns,
                                                      uint64_t *value,
                                                      struct trunkline_job_t *job,
                                                      struct trunkline_error_t **err);

/**
 * As trunkline_keyed_pool_get_or_create, as an operation. It ends with an event of kind TRUNKLINE_EV_POOL_VALUE whose
 * `value` is the value, or of kind TRUNKLINE_EV_JOB whose `handle` is the job to make it.
 *
 * Ownership: the value stays the pool's; the job is the receiver's to answer once, or to dispose of with its event. Blocks:
 * no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; in the event TIMEOUT,
 * LIMIT_EXCEEDED, CLOSED, CANCELLED. Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes.
 */
trunkline_status_t trunkline_keyed_pool_get_or_create_async(struct trunkline_keyed_pool_t pool,
                                                            const uint8_t *key,
                                                            size_t key_len,
                                                            int64_t deadline_ns,
                                                            int64_t make_deadline_ns,
                                                            const struct trunkline_completion_t *completion,
                                                            struct trunkline_op_t *op,
                                                            struct trunkline_error_t **err);

/**
 * Answers a job of kind TRUNKLINE_JOB_MAKE with a value, and says in `*kept` which one is under the key: one that was
 * inserted meanwhile stays, and `value` is given up as DUPLICATE. All who wait for the key get the same.
 *
 * Ownership: the value is the pool's, also when it comes too late (TIMEOUT) or the pool was closed (CLOSED): then it is
 * given up at once. With INVALID_ARGUMENT, INVALID_HANDLE and FORKED it stays the caller's. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE (answered already), TIMEOUT, CLOSED, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_keyed_pool_fill(struct trunkline_job_t job,
                                             uint64_t value,
                                             uint64_t *kept,
                                             struct trunkline_error_t **err);

/**
 * Puts `value` under the key, as trunkline_keyed_pool_insert; where the pool is full and made with "when_full":
 * "wait", as soon as a place is free. Those who wait are served in the order in which they came.
 *
 * `lifetime_ns` is one of its own, without jitter, instead of the pool's; 0 means the pool's, TRUNKLINE_NEVER none.
 *
 * Ownership: the value is the pool's on OK, else it stays the caller's. Blocks: until the deadline. Threads: any but the
 * library's, unless the deadline is past. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK (deadline 0 and no
 * place), TIMEOUT, LIMIT_EXCEEDED (the pool is full and does not wait, or the closer's queue is full), CLOSED,
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes.
 */
trunkline_status_t trunkline_keyed_pool_insert_wait(struct trunkline_keyed_pool_t pool,
                                                    const uint8_t *key,
                                                    size_t key_len,
                                                    uint64_t value,
                                                    int64_t lifetime_ns,
                                                    int64_t deadline_ns,
                                                    struct trunkline_error_t **err);

/**
 * As trunkline_keyed_pool_insert_wait, as an operation that ends with an event of kind TRUNKLINE_EV_DONE.
 *
 * Ownership: the value is the pool's if the event says OK, else it stays the caller's. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; in the event TIMEOUT, LIMIT_EXCEEDED, CLOSED,
 * CANCELLED. Since 0.1.
 *
 * # Safety
 *
 * `key` is good for `key_len` bytes.
 */
trunkline_status_t trunkline_keyed_pool_insert_async(struct trunkline_keyed_pool_t pool,
                                                     const uint8_t *key,
                                                     size_t key_len,
                                                     uint64_t value,
                                                     int64_t lifetime_ns,
                                                     int64_t deadline_ns,
                                                     const struct trunkline_completion_t *completion,
                                                     struct trunkline_op_t *op,
                                                     struct trunkline_error_t **err);

/**
 * Listens on `address`, such as "tcp://127.0.0.1:0", "tls://0.0.0.0:443", "unix:/run/app.sock" or "mem:app".
 *
 * Port 0 means a free port; trunkline_listener_address tells it. A Unix socket file gets mode 0600 and goes
 * away with the listener; on an abstract name only processes of the same user are let in. On a tls:// address
 * handshakes are taken as connections come, beside each other, and an accept gives those that went well.
 *
 * Ownership: the listener is the caller's, to be freed once with trunkline_listener_free. Blocks: for the
 * look-up of a host name. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION,
 * BIND_FAILED, LIMIT_EXCEEDED, CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_listen(struct trunkline_runtime_t rt,
                                    const char *address,
                                    size_t address_len,
                                    const struct trunkline_listen_options_t *opts,
                                    struct trunkline_listener_t *out,
                                    struct trunkline_error_t **err);

/**
 * Takes the next connection. A deadline of 0 tries once and says WOULD_BLOCK.
 *
 * LIMIT_EXCEEDED with errno EMFILE leaves the connection in the backlog: pause before the next attempt.
 *
 * Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until the
 * deadline. Threads: any, any number at once; those of the library with a past deadline only. Errors:
 * INVALID_HANDLE, WOULD_BLOCK, TIMEOUT, LIMIT_EXCEEDED, CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_listener_accept(struct trunkline_listener_t listener,
                                             int64_t deadline_ns,
                                             struct trunkline_stream_t *out,
                                             struct trunkline_error_t **err);

/**
 * Asks for one event of kind TRUNKLINE_EV_ACCEPTABLE on `cq`.
 *
 * It comes at once if a connection waits, may come for nothing, and comes with CLOSED when the listener is
 * closed. While one is owed to the same queue, arming again gives it the new tag.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, LIMIT_EXCEEDED (the queue), CLOSED (the
 * queue, or the runtime), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_listener_arm(struct trunkline_listener_t listener,
                                          struct trunkline_cq_t cq,
                                          uint64_t tag);

/**
 * Writes the address that is listened on as text with a NUL; `*len` is without it.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also a buffer that is too short),
 * INVALID_HANDLE, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `text` is good for `cap` bytes.
 */
trunkline_status_t trunkline_listener_address(struct trunkline_listener_t listener,
                                              char *text,
                                              size_t cap,
                                              size_t *len);

/**
 * Stops listening: the descriptor is gone on return, and whoever waits gets CLOSED. Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_listener_close(struct trunkline_listener_t listener);

/**
 * Frees a listener, and closes it if that was not done.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_listener_free(struct trunkline_listener_t listener);

/**
 * Sends what the library says, up to `max_level` (TRUNKLINE_LOG_*), to `fn`; replaces what was set before. NULL
 * for `fn` removes it. One callback per process, which all runtimes share.
 *
 * Ownership: `release(user_data)` runs exactly once, after the last call of `fn`, also when this call fails. Calls
 * that other threads have begun may end after this returns. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT.
 * Since 0.1.
 *
 * # Safety
 *
 * `fn` and `release` may be called from any thread until the release.
 */
trunkline_status_t trunkline_log_set(int32_t max_level,
                                     trunkline_log_fn fn,
                                     void *user_data,
                                     trunkline_release_fn release,
                                     struct trunkline_error_t **err);

/**
 * Makes a memory proxy. `json` is a document such as {"routes": [{"path": "/api", "target": "tls://api.internal:443"}]}, or
 * {"routing": "kubernetes"}; empty means the defaults, by which nothing is passed on that a hook does not route. The TLS of
 * the options says who the proxy is to clients of TLS, by its server's side, and whom it trusts at tls:// addresses.
 *
 * `host` does the jobs of the hooks that are in `hooks`, TRUNKLINE_HOOK_* added up; NULL and 0 mean none. What a hook answers
 * comes before the document. One that fails, or does not answer within the document's `hook_timeout`, lets nothing through.
 *
 * Ownership: the proxy is the caller's, to be freed once with trunkline_memory_proxy_free; copies the struct, whose
 * `user_data` is released once, also after an error. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (names the field),
 * INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes; `opts` is NULL or points to a struct made by its INIT macro; `host` is NULL or points
 * to a struct whose function may be called with its pointer until the release.
 */
trunkline_status_t trunkline_memory_proxy_new(struct trunkline_runtime_t rt,
                                              const char *json,
                                              size_t json_len,
                                              const struct trunkline_connect_options_t *opts,
                                              const struct trunkline_job_host_t *host,
                                              uint32_t hooks,
                                              struct trunkline_memory_proxy_t *out,
                                              struct trunkline_error_t **err);

/**
 * Serves what comes to `listener`, in the background, until that is closed or freed; it is closed when the proxy ends. Any
 * listener will do: that of an agent makes a service of what is behind the agent. Nobody else should accept from it meanwhile.
 *
 * Ownership: the listener stays the caller's, to be freed. Blocks: no. Threads: any. Errors: INVALID_HANDLE, CLOSED (once the proxy drains or
 * is closed), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_memory_proxy_serve(struct trunkline_memory_proxy_t proxy,
                                                struct trunkline_listener_t listener,
                                                struct trunkline_error_t **err);

/**
 * Fills the counts of a memory proxy.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_memory_proxy_stats(struct trunkline_memory_proxy_t proxy,
                                                struct trunkline_memory_proxy_stats_t *stats);

/**
 * Closes the listeners, answers what was asked, and at the deadline cuts the rest; `*cut` says how many.
 *
 * With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
 *
 * Ownership: none. Blocks: until the last connection has ended, or the deadline. Threads: any but the library's.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_memory_proxy_drain(struct trunkline_memory_proxy_t proxy,
                                                int64_t deadline_ns,
                                                uint64_t *cut,
                                                struct trunkline_error_t **err);

/**
 * As trunkline_memory_proxy_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of
 * connections that were cut in `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then nothing new is taken, and
 * what stands goes on. Since 0.1.
 */
trunkline_status_t trunkline_memory_proxy_drain_async(struct trunkline_memory_proxy_t proxy,
                                                      int64_t deadline_ns,
                                                      const struct trunkline_completion_t *completion,
                                                      struct trunkline_op_t *op,
                                                      struct trunkline_error_t **err);

/**
 * Closes the listeners of a memory proxy and ends its connections: every descriptor is gone on return. Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
 * any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_memory_proxy_close(struct trunkline_memory_proxy_t proxy);

/**
 * Frees a memory proxy and ends its connections, without waiting.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_memory_proxy_free(struct trunkline_memory_proxy_t proxy);

/**
 * Reads all instruments of a runtime at one moment: counts of one connection are never torn apart.
 *
 * Ownership: the snapshot is the caller's, to be freed with trunkline_metrics_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_metrics_snapshot(struct trunkline_runtime_t rt,
                                              struct trunkline_metrics_t **out,
                                              struct trunkline_error_t **err);

/**
 * How many samples there are; 0 for NULL.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
size_t trunkline_metrics_len(const struct trunkline_metrics_t *metrics);

/**
 * Sample number `i`, from 0; they are sorted by name and labels.
 *
 * Ownership: the texts are borrowed until trunkline_metrics_free. Blocks: no. Threads: the owner's. Errors:
 * INVALID_ARGUMENT, NOT_FOUND. Since 0.1.
 */
trunkline_status_t trunkline_metrics_get(const struct trunkline_metrics_t *metrics,
                                         size_t i,
                                         struct trunkline_metric_t *out);

/**
 * The value that a share `q` (0 to 1, 0.5 is the median) of the values of histogram `i` does not exceed: never
 * below the true one, above it by 6.25 % at most.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: INVALID_ARGUMENT (also a sample that is no
 * histogram), NOT_FOUND (also a histogram without values). Since 0.1.
 */
trunkline_status_t trunkline_metrics_quantile(const struct trunkline_metrics_t *metrics,
                                              size_t i,
                                              double q,
                                              double *value);

/**
 * The snapshot as text that Prometheus reads (text/plain; version=0.0.4); NULL for NULL.
 *
 * Ownership: borrowed until trunkline_metrics_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_metrics_prometheus(const struct trunkline_metrics_t *metrics,
                                         size_t *len);

/**
 * The snapshot as OpenMetrics 1.0 text (application/openmetrics-text; version=1.0.0; charset=utf-8); NULL for
 * NULL.
 *
 * Ownership: borrowed until trunkline_metrics_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_metrics_openmetrics(const struct trunkline_metrics_t *metrics,
                                          size_t *len);

/**
 * Frees a snapshot; NULL does nothing.
 *
 * Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
void trunkline_metrics_free(struct trunkline_metrics_t *metrics);

/**
 * Asks an operation to end. Its completion still arrives: with CANCELLED, or with the result that came first.
 *
 * Cancelling twice, or after the completion, does nothing and is OK.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE (not an operation's handle), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_op_cancel(struct trunkline_op_t op);

/**
 * Makes a pipe: what is written to one end is read from the other, with the semantics of a socket.
 *
 * Ownership: both ends are the caller's, to be freed once each with trunkline_stream_free. Blocks: no.
 * Threads: any. Errors: INVALID_ARGUMENT, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `opts` is NULL or points to a struct made by its INIT macro; `ends` is good for two handles.
 */
trunkline_status_t trunkline_pipe_pair(struct trunkline_runtime_t rt,
                                       const struct trunkline_pipe_options_t *opts,
                                       struct trunkline_stream_t (*ends)[2],
                                       struct trunkline_error_t **err);

/**
 * Makes a pool of connections that the host makes. `json` is a document such as {"name": "db", "max_size": 20,
 * "min_idle": 2, "acquire_timeout": "5s"}; empty means the defaults: 10 connections, 30 s to acquire one.
 *
 * What the pool wants done goes to `host` as jobs: CONNECT, answered with the new connection's number, which is not 0;
 * CLOSE; and, as `abilities` says, CHECK and RESET.
 *
 * Ownership: the pool is the caller's, to be freed once with trunkline_pool_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT (names the field), INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_pool_new(struct trunkline_runtime_t rt,
                                      const char *json,
                                      size_t json_len,
                                      const struct trunkline_job_host_t *host,
                                      uint32_t abilities,
                                      struct trunkline_pool_t *out,
                                      struct trunkline_error_t **err);

/**
 * As trunkline_pool_open_with, with the default options.
 *
 * Ownership: as trunkline_pool_open_with. Blocks: no. Threads: any. Errors: as trunkline_pool_open_with. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes, `addresses` for `addresses_len` texts.
 */
trunkline_status_t trunkline_pool_open(struct trunkline_runtime_t rt,
                                       const char *json,
                                       size_t json_len,
                                       const struct trunkline_str_t *addresses,
                                       size_t addresses_len,
                                       struct trunkline_pool_t *out,
                                       struct trunkline_error_t **err);

/**
 * Makes a pool of streams to the given addresses: each connection goes to the one with the fewest, of those that work.
 * A stream on which the peer has ended, or has sent what nobody asked for, is not lent.
 *
 * Ownership: the pool is the caller's, to be freed once with trunkline_pool_free; its streams are its own, and must
 * neither be closed nor freed by those who have leases of them. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (names
 * the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes, `addresses` for `addresses_len` texts; `opts` is NULL or points to a struct
 * made by its INIT macro.
 */
trunkline_status_t trunkline_pool_open_with(struct trunkline_runtime_t rt,
                                            const char *json,
                                            size_t json_len,
                                            const struct trunkline_str_t *addresses,
                                            size_t addresses_len,
                                            const struct trunkline_connect_options_t *opts,
                                            struct trunkline_pool_t *out,
                                            struct trunkline_error_t **err);

/**
 * Takes a connection, waiting for one until the deadline, or with TRUNKLINE_DEADLINE_DEFAULT for the pool's
 * `acquire_timeout`. `holder` says who takes it, for errors and trunkline_pool_leases; it may be empty.
 *
 * The causes of a TIMEOUT say how many are in use and idle, who holds one for longest, and why the last connect failed.
 *
 * Ownership: the lease is the caller's, to be released once. Blocks: until the deadline. Threads: any; those of the
 * library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK (deadline 0 and none ready),
 * TIMEOUT, LIMIT_EXCEEDED (too many wait, or with TRUNKLINE_ERR_CIRCUIT_OPEN every endpoint keeps failing), CLOSED,
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `holder` is good for `holder_len` bytes.
 */
trunkline_status_t trunkline_pool_acquire(struct trunkline_pool_t pool,
                                          int64_t deadline_ns,
                                          const char *holder,
                                          size_t holder_len,
                                          struct trunkline_leased_t *out,
                                          struct trunkline_error_t **err);

/**
 * As trunkline_pool_acquire without blocking. If a connection is ready, `*now` has it and there is no completion;
 * else `*now` is {0} and exactly one completion of kind TRUNKLINE_EV_LEASE follows, with the lease in `handle`, the
 * connection in `value` and the pool in `about`.
 *
 * A callback runs in the thread that puts the connection back, and must not block.
 *
 * Ownership: the lease is the receiver's, to be released once. Blocks: no. Threads: any. Errors: at once
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, TIMEOUT (a past deadline), FORKED; with the completion
 * TIMEOUT, LIMIT_EXCEEDED, CLOSED, CANCELLED. Since 0.1.
 *
 * # Safety
 *
 * `holder` is good for `holder_len` bytes.
 */
trunkline_status_t trunkline_pool_acquire_async(struct trunkline_pool_t pool,
                                                int64_t deadline_ns,
                                                const char *holder,
                                                size_t holder_len,
                                                const struct trunkline_completion_t *completion,
                                                struct trunkline_leased_t *now,
                                                struct trunkline_op_t *op,
                                                struct trunkline_error_t **err);

/**
 * Puts a connection back; the caller does not use it any more.
 *
 * Ownership: takes the lease. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (flags), INVALID_HANDLE (released
 * before, of another pool, or the pool is freed), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_release(struct trunkline_pool_t pool,
                                          struct trunkline_lease_t lease,
                                          uint32_t flags);

/**
 * As trunkline_pool_release. If that serves a caller whose completion goes to `queue`, its event is written to
 * `*handed` instead of the queue, so that no thread is woken through the queue's descriptor; else the kind of `*handed`
 * is TRUNKLINE_EV_NONE.
 *
 * Ownership: takes the lease; the event is the caller's. Blocks: no. Threads: any. Errors: as trunkline_pool_release.
 * Since 0.1.
 */
trunkline_status_t trunkline_pool_release_handing(struct trunkline_pool_t pool,
                                                  struct trunkline_lease_t lease,
                                                  uint32_t flags,
                                                  struct trunkline_cq_t queue,
                                                  struct trunkline_event_t *handed);

/**
 * Takes a connection out of the pool for good, which may open another in its place.
 *
 * Ownership: takes the lease; the connection is the caller's, a stream to be freed with trunkline_stream_free. Blocks:
 * no. Threads: any. Errors: as trunkline_pool_release. Since 0.1.
 */
trunkline_status_t trunkline_pool_detach(struct trunkline_pool_t pool,
                                         struct trunkline_lease_t lease,
                                         uint64_t *value);

/**
 * Frees a pool: it lends no more, and every connection is closed, those that are lent included.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_pool_free(struct trunkline_pool_t pool);

/**
 * Fills the counts of a pool.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_pool_stats(struct trunkline_pool_t pool,
                                        struct trunkline_pool_stats_t *stats);

/**
 * As trunkline_pool_stats; the measurement of `peak_used` starts anew.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: as trunkline_pool_stats. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_pool_take_stats(struct trunkline_pool_t pool,
                                             struct trunkline_pool_stats_t *stats);

/**
 * Changes how many connections there may be, and how many stand ready besides those that are lent. Smaller, idle ones
 * are closed at once and the others when they come back; larger, as many callers are served as now fit.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_resize(struct trunkline_pool_t pool,
                                         uint32_t max_size,
                                         uint32_t min_idle,
                                         struct trunkline_error_t **err);

/**
 * Connects a pool of streams to these addresses and no others from now on, as when the peers are found anew. Idle
 * connections to others are closed now, those that are lent when they come back, and none of them is lent after this
 * returns; what is known of the addresses that stay is kept. One that is named twice counts once.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (none is named, one is malformed, or the pool's
 * connections are made by its host), INVALID_HANDLE, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `addresses` is good for `addresses_len` texts.
 */
trunkline_status_t trunkline_pool_set_endpoints(struct trunkline_pool_t pool,
                                                const struct trunkline_str_t *addresses,
                                                size_t addresses_len,
                                                struct trunkline_error_t **err);

/**
 * Retires every connection made so far, as after a failover: none of them is lent after this returns. Those that are
 * lent are closed when they come back.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_clear(struct trunkline_pool_t pool);

/**
 * Checks every idle connection in the background, and closes those that fail.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_check(struct trunkline_pool_t pool);

/**
 * Writes who holds what, longest first, as JSON: [{"lease": 7, "held": "1.5s", "holder": "app.c:12"}].
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_leases(struct trunkline_pool_t pool,
                                         struct trunkline_buf_t **out);

/**
 * Writes what the pool's tuner advised lately, oldest first, as JSON: [{"change": "grow", "to": 11, "applied": false, "ago":
 * "3s", "text": "grow from 10 to 11: ..."}]. `text` has the reason and the figures that it follows from.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_advice(struct trunkline_pool_t pool,
                                         struct trunkline_buf_t **out);

/**
 * Waits until as many connections stand ready as `min_idle` says.
 *
 * Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_HANDLE, WOULD_BLOCK,
 * TIMEOUT, CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_wait_ready(struct trunkline_pool_t pool,
                                             int64_t deadline_ns,
                                             struct trunkline_error_t **err);

/**
 * As trunkline_pool_wait_ready; the result is an event of kind TRUNKLINE_EV_DONE.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED,
 * CLOSED, FORKED; the others come with the event, also CANCELLED. Since 0.1.
 */
trunkline_status_t trunkline_pool_wait_ready_async(struct trunkline_pool_t pool,
                                                   int64_t deadline_ns,
                                                   const struct trunkline_completion_t *completion,
                                                   struct trunkline_op_t *op,
                                                   struct trunkline_error_t **err);

/**
 * Lends to nobody who is not in line yet, and waits until every connection is closed. At the deadline the pool is closed
 * as it is; `*left` says how many connections were left, which end when they are released.
 *
 * Ownership: none; the handle is still to be freed. Blocks: until the deadline. Threads: any but the library's. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_drain(struct trunkline_pool_t pool,
                                        int64_t deadline_ns,
                                        uint64_t *left,
                                        struct trunkline_error_t **err);

/**
 * As trunkline_pool_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the connections left in `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED,
 * CLOSED, FORKED; with the event CANCELLED. Since 0.1.
 */
trunkline_status_t trunkline_pool_drain_async(struct trunkline_pool_t pool,
                                              int64_t deadline_ns,
                                              const struct trunkline_completion_t *completion,
                                              struct trunkline_op_t *op,
                                              struct trunkline_error_t **err);

/**
 * Closes a pool: those who wait are refused, and what is idle is closed. Then waits until every connection is closed;
 * `*left` says how many were left at the deadline, which end when they are released. Again, it only waits.
 *
 * Ownership: none; the handle is still to be freed. Blocks: until the deadline; one of 0 does not. Threads: any but the
 * library's, those too with a past deadline. Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime),
 * WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_pool_close(struct trunkline_pool_t pool,
                                        int64_t deadline_ns,
                                        uint64_t *left,
                                        struct trunkline_error_t **err);

/**
 * As trunkline_pool_close, closed when this returns; the result is an event of kind TRUNKLINE_EV_DRAINED with the
 * connections left in `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED,
 * CLOSED, FORKED; with the event CANCELLED. Since 0.1.
 */
trunkline_status_t trunkline_pool_close_async(struct trunkline_pool_t pool,
                                              int64_t deadline_ns,
                                              const struct trunkline_completion_t *completion,
                                              struct trunkline_op_t *op,
                                              struct trunkline_error_t **err);

/**
 * Looks at all bytes of a stream so far. Once the verdict is not NEED_MORE, more bytes do not change it.
 *
 * A client whose server speaks first sends nothing to look at: stop waiting for it at a deadline of your own.
 *
 * Ownership: the result is the caller's, to be freed with trunkline_probed_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT. Since 0.1.
 *
 * # Safety
 *
 * `data` is good for `len` bytes.
 */
trunkline_status_t trunkline_probe_tcp(const uint8_t *data,
                                       size_t len,
                                       struct trunkline_probed_t **out,
                                       struct trunkline_error_t **err);

/**
 * Looks at all datagrams of a flow so far, in the order in which they came; at most 16 are looked at. Once the
 * verdict is not NEED_MORE, more datagrams do not change it.
 *
 * Ownership: the result is the caller's, to be freed with trunkline_probed_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT. Since 0.1.
 *
 * # Safety
 *
 * `datagrams` is good for `count` elements, and each of them for its length.
 */
trunkline_status_t trunkline_probe_udp(const struct trunkline_bytes_t *datagrams,
                                       size_t count,
                                       struct trunkline_probed_t **out,
                                       struct trunkline_error_t **err);

/**
 * One of TRUNKLINE_PROBE_*; 0 for NULL.
 *
 * Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
int32_t trunkline_probed_verdict(const struct trunkline_probed_t *probed);

/**
 * The name of the protocol: "tls", "http1", "http2", "ssh", "socks5", "postgresql", "redis" or "mqtt" of a stream,
 * "quic", "dns", "stun" or "wireguard" of datagrams. NULL unless the verdict is IS.
 *
 * Ownership: borrowed until trunkline_probed_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_probed_protocol(const struct trunkline_probed_t *probed);

/**
 * The host that the client asks for, in lower case: the server name of TLS and QUIC, the host of HTTP/1. NULL
 * without one.
 *
 * Ownership: borrowed until trunkline_probed_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_probed_host(const struct trunkline_probed_t *probed);

/**
 * A protocol that a client of TLS or QUIC offers to speak inside (ALPN), the best first, from `index` 0 on; NULL
 * past the last one.
 *
 * Ownership: borrowed until trunkline_probed_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_probed_alpn(const struct trunkline_probed_t *probed,
                                  size_t index);

/**
 * All that was found, as one JSON object such as {"verdict": "is", "protocol": "tls", "server_name": "a.example",
 * "alpn": ["h2"], "ech": false}, and in `*len`, where given, its length; NULL and 0 for NULL.
 *
 * Ownership: borrowed until trunkline_probed_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_probed_json(const struct trunkline_probed_t *probed,
                                  size_t *len);

/**
 * Frees what a probe found; NULL does nothing.
 *
 * Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
void trunkline_probed_free(struct trunkline_probed_t *probed);

/**
 * What is known of what a job of a memory proxy is about, as a JSON object. For TRUNKLINE_JOB_PROXY_ROUTE: {"connection",
 * "source", "server_name", "is_secured", "method", "host", "path", "query", "headers", "timeout_ns"}, where "headers" is an
 * array of [name, value] as a service would see them, each byte of a value as the character of its number; for
 * TRUNKLINE_JOB_PROXY_PROCESS the same with "target": {"address", "path", "host"}; for TRUNKLINE_JOB_PROXY_CERTIFICATE:
 * {"connection", "source", "server_name", "alpn", "timeout_ns"}. What is not known is null; "timeout_ns" is the time for the
 * answer from when it was asked for.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any, also inside
 * callbacks. Errors: INVALID_ARGUMENT (a job of another kind), INVALID_HANDLE (also when nobody waits for it any more),
 * FORKED. Since 0.1.
 */
trunkline_status_t trunkline_memory_proxy_question(struct trunkline_job_t job,
                                                   struct trunkline_buf_t **out,
                                                   struct trunkline_error_t **err);

/**
 * Answers a job of a memory proxy with a JSON object, in which what is absent is as the configuration says.
 *
 * For TRUNKLINE_JOB_PROXY_ROUTE: {"target": "tls://api.internal:443", "path": "/x?y", "host": "api"} or {"refuse": {"status": 403,
 * "text": "why"}}. For TRUNKLINE_JOB_PROXY_PROCESS: {"remove": ["name"], "set": [["name", "value"]]}, or "refuse" as above; values
 * are written as in the question, and fields that say where a message goes or ends, or belong to one hop, cannot be
 * changed. For TRUNKLINE_JOB_PROXY_CERTIFICATE: {"certificate": {"chain": {"pem": "..."}, "key": {"pem": "..."}}}, also
 * with "file", or {"refuse": true}.
 *
 * A job has one answer: a second one, and one that comes too late, are INVALID_HANDLE and harmless. trunkline_job_done
 * answers as well: without an error as {}, with one that it failed: then the request is answered with 500, or the
 * handshake ends.
 *
 * Ownership: none. Blocks: no. Threads: any, also inside callbacks. Errors: INVALID_ARGUMENT (names what is wrong; the job then
 * still wants its answer), INVALID_HANDLE, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_memory_proxy_answer(struct trunkline_job_t job,
                                                 const char *json,
                                                 size_t json_len,
                                                 struct trunkline_error_t **err);

/**
 * Makes a queue that holds at most `max_pending` outstanding operations and undrained events; 0 means
 * 65536. Past it a submit says LIMIT_EXCEEDED, so no event is ever lost.
 *
 * Ownership: the queue is the caller's, to be freed once with trunkline_cq_free. Blocks: no. Threads: any.
 * Errors: INVALID_HANDLE, CLOSED, LIMIT_EXCEEDED (handles, or open files), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_cq_new(struct trunkline_runtime_t rt,
                                    uint32_t max_pending,
                                    struct trunkline_cq_t *out,
                                    struct trunkline_error_t **err);

/**
 * Waits for events and writes at most `cap` of them, oldest first; `*n` says how many.
 *
 * OK with `*n` 0 means that trunkline_cq_wake was called. A deadline of 0 tries once.
 *
 * Ownership: each event is the receiver's: free its error and handle, or call trunkline_event_dispose.
 * Blocks: until the deadline. Threads: one at a time per queue, and none of the library's unless the
 * deadline is past. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK (deadline 0 and nothing
 * there), TIMEOUT, CLOSED (shut down and drained), WOULD_DEADLOCK, LIMIT_EXCEEDED (another thread
 * waits), FORKED. Since 0.1.
 *
 * # Safety
 *
 * `events` is good for `cap` events.
 */
trunkline_status_t trunkline_cq_wait(struct trunkline_cq_t cq,
                                     struct trunkline_event_t *events,
                                     size_t cap,
                                     int64_t deadline_ns,
                                     size_t *n);

/**
 * The descriptor to poll for reading, in the host's own loop. It is level-triggered: readable while
 * trunkline_cq_wait has something to say, or, where a socket was armed that is closed or forgotten by now, for
 * nothing. Never read it; only trunkline_cq_wait clears it.
 *
 * Ownership: borrowed until trunkline_cq_free; dup it to give it away. Blocks: no. Threads: any.
 * Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_cq_fd(struct trunkline_cq_t cq,
                                   int32_t *fd);

/**
 * Makes a waiting trunkline_cq_wait, or the next one, return OK with no event.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_cq_wake(struct trunkline_cq_t cq);

/**
 * Ends a queue: submits to it fail with CLOSED. Drain it until trunkline_cq_wait says CLOSED; operations
 * that are outstanding still complete, so cancel what would take long. Readiness that is still armed completes
 * with its stream or listener: close those, or free the queue. Idempotent.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_cq_shutdown(struct trunkline_cq_t cq);

/**
 * Frees a queue; events that were not drained are disposed of, and a thread that waits returns.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_cq_free(struct trunkline_cq_t cq);

/**
 * Frees whatever an event owns: its object, its error and any handle left in it; then blanks it.
 *
 * Ownership: takes what is in the event, not the event. Blocks: no. Threads: any. Errors: none. Since 0.1.
 *
 * # Safety
 *
 * `event` is NULL or an event from this library of which nothing was freed yet; what was taken out
 * was replaced by 0 or NULL.
 */
void trunkline_event_dispose(struct trunkline_event_t *event);

/**
 * Has the host say where each connection goes that the manager accepts for its listeners, from now on: before the
 * routes, by a job of kind TRUNKLINE_JOB_ROUTE whose `about` is the number of the connection. `host` of NULL ends that.
 *
 * trunkline_route_question says what is known of the connection, trunkline_route_decide answers. A job that fails, or is
 * not answered within the document's `route_callback.timeout`, leaves the connection to the routes, as does one above
 * `route_callback.max_pending`. The metric trunkline_route_callback_total counts what came of each.
 *
 * Ownership: copies the struct; `user_data` is released once, also after an error. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (also once it drains), FORKED. Since 0.1.
 *
 * # Safety
 *
 * `host` is NULL or points to a struct whose function may be called with its pointer until the release.
 */
trunkline_status_t trunkline_tcp_manager_on_route(struct trunkline_tcp_manager_t manager,
                                                  const struct trunkline_job_host_t *host,
                                                  struct trunkline_error_t **err);

/**
 * What is known of the connection that a job of kind TRUNKLINE_JOB_ROUTE is about, as a JSON object: {"id", "listener",
 * "source", "local", "protocol", "host", "alpn", "timeout_ns"}. `protocol` is what its first bytes speak, `host` the server
 * name of TLS or the host of HTTP/1, `alpn` an array, `timeout_ns` the time for the answer from when it was asked for. What
 * is not known is null.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any, also inside
 * callbacks. Errors: INVALID_ARGUMENT (a job of another kind), INVALID_HANDLE (also when nobody waits for it any more),
 * FORKED. Since 0.1.
 */
trunkline_status_t trunkline_route_question(struct trunkline_job_t job,
                                            struct trunkline_buf_t **out,
                                            struct trunkline_error_t **err);

/**
 * Answers a job of kind TRUNKLINE_JOB_ROUTE with one of TRUNKLINE_ROUTE_*. `to` is the name of a backend for
 * TRUNKLINE_ROUTE_BACKEND, an address for TRUNKLINE_ROUTE_ADDRESS, and empty otherwise. Where there is no such backend, and
 * where the address leads back to a listener, the routes decide.
 *
 * A job has one answer: a second one, and one that comes too late, are INVALID_HANDLE and harmless.
 * trunkline_job_done answers as well: without an error as TRUNKLINE_ROUTE_DEFAULT, with one that it failed.
 *
 * Ownership: none. Blocks: no. Threads: any, also inside callbacks. Errors: INVALID_ARGUMENT (also a job of another
 * kind, which then still wants its answer), INVALID_HANDLE, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `to` is good for `to_len` bytes.
 */
trunkline_status_t trunkline_route_decide(struct trunkline_job_t job,
                                          int32_t decision,
                                          const char *to,
                                          size_t to_len);

/**
 * Makes a runtime of its own, beside the default one.
 *
 * Ownership: the runtime is the caller's, to be freed once with trunkline_runtime_free. Blocks: no.
 * Threads: any. Errors: INVALID_ARGUMENT, VERSION, NO_MEMORY. Since 0.1.
 *
 * # Safety
 *
 * `opts` is NULL (all defaults) or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_runtime_new(const struct trunkline_runtime_options_t *opts,
                                         struct trunkline_runtime_t *out,
                                         struct trunkline_error_t **err);

/**
 * Says how the default runtime, the handle {0}, will be made. Must come before its first use.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also once it runs), VERSION. Since 0.1.
 *
 * # Safety
 *
 * `opts` is NULL (all defaults) or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_runtime_configure(const struct trunkline_runtime_options_t *opts,
                                               struct trunkline_error_t **err);

/**
 * Stops a runtime: its streams, listeners, managers, channels and pools are closed, operations under way complete as CANCELLED,
 * whoever waits gets CLOSED, threads end.
 *
 * For {0} it stops the default runtime, if it was made; the next use of {0} makes a new one.
 * Stopping twice is no error.
 *
 * Ownership: the handle stays the caller's. Blocks: until the threads have ended or the deadline.
 * Threads: any but the library's. Errors: INVALID_HANDLE, TIMEOUT (threads still busy; they end by
 * themselves), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_runtime_shutdown(struct trunkline_runtime_t rt,
                                              int64_t deadline_ns,
                                              struct trunkline_error_t **err);

/**
 * Frees a runtime without waiting. It ends with the last object that was made on it.
 *
 * Ownership: takes the handle; the default runtime has none to take. Blocks: no. Threads: any, also finalisers.
 * Errors: INVALID_HANDLE (also {0}). Since 0.1.
 */
trunkline_status_t trunkline_runtime_free(struct trunkline_runtime_t rt);

/**
 * 1 on a thread of the library or inside a callback, where calls that wait are refused; else 0.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: none. Since 0.1.
 */
int32_t trunkline_in_callback(void);

/**
 * Gives what a stream carries a socket: what is written to `*fd` goes to the stream's peer, what comes is read from it.
 *
 * The socket is a Unix one, blocks, and is closed by an exec. An end crosses in either direction and by itself, and
 * closing the socket closes the stream. A reset of the peer's is an end there, as a Unix socket has none. The
 * library's threads carry the bytes, through at most 64 KiB each way besides what the kernel holds.
 *
 * The handle is good for stats and addresses from then on: reads, writes, waits and half-closes by it say CLOSED, and to
 * close, abort or free it leaves the socket alone. A stream that a pool lends is refused with INVALID_ARGUMENT until it is
 * detached.
 *
 * Ownership: the descriptor is the caller's, to be closed once; the handle stays the caller's. Blocks: no. Threads:
 * any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (no descriptor is left), CLOSED (the stream has a socket,
 * or its runtime has stopped), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_stream_to_socket(struct trunkline_stream_t stream,
                                              int32_t *fd,
                                              struct trunkline_error_t **err);

/**
 * Names a status, such as "TIMEOUT"; "UNKNOWN" for a number of a newer library.
 *
 * Ownership: the text is static. Blocks: no. Threads: any. Errors: none. Since 0.1.
 */
const char *trunkline_status_name(trunkline_status_t status);

/**
 * As trunkline_connect_with, with the default options.
 *
 * Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until
 * the deadline. Threads: any but the library's. Errors: as trunkline_connect_with. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes.
 */
trunkline_status_t trunkline_connect(struct trunkline_runtime_t rt,
                                     const char *address,
                                     size_t address_len,
                                     int64_t deadline_ns,
                                     struct trunkline_stream_t *out,
                                     struct trunkline_error_t **err);

/**
 * Connects to `address`, such as "tcp://localhost:80", "tls://db.internal:5432", "unix:/run/app.sock" or "mem:app".
 *
 * With TRUNKLINE_DEADLINE_NONE the default connect timeout of 5 s holds. To a tls:// address it includes the
 * handshake; the server's certificate must be for the address's host.
 *
 * Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until
 * the deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, CONNECTION_FAILED,
 * TLS, TIMEOUT, LIMIT_EXCEEDED, CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_connect_with(struct trunkline_runtime_t rt,
                                          const char *address,
                                          size_t address_len,
                                          const struct trunkline_connect_options_t *opts,
                                          int64_t deadline_ns,
                                          struct trunkline_stream_t *out,
                                          struct trunkline_error_t **err);

/**
 * As trunkline_connect_with_async, with the default options.
 *
 * Ownership: the stream in the event is the receiver's. Blocks: no. Threads: any. Errors: as
 * trunkline_connect_with_async. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes.
 */
trunkline_status_t trunkline_connect_async(struct trunkline_runtime_t rt,
                                           const char *address,
                                           size_t address_len,
                                           int64_t deadline_ns,
                                           const struct trunkline_completion_t *completion,
                                           struct trunkline_op_t *op,
                                           struct trunkline_error_t **err);

/**
 * As trunkline_connect_with; the result is an event of kind TRUNKLINE_EV_CONNECTED with the stream in `handle`.
 *
 * Ownership: the stream in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
 * INVALID_ARGUMENT, INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED; the others come with the event, also
 * CANCELLED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_connect_with_async(struct trunkline_runtime_t rt,
                                                const char *address,
                                                size_t address_len,
                                                const struct trunkline_connect_options_t *opts,
                                                int64_t deadline_ns,
                                                const struct trunkline_completion_t *completion,
                                                struct trunkline_op_t *op,
                                                struct trunkline_error_t **err);

/**
 * Reads what is there, at most `cap` bytes. OK with `*n` 0 and a `cap` above 0 is the end of the stream.
 *
 * A deadline of 0 tries once and says WOULD_BLOCK.
 *
 * Ownership: none. Blocks: until a byte or the end is there, or the deadline. Threads: any, any number at
 * once; those of the library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE,
 * WOULD_BLOCK, TIMEOUT, BROKEN, CLOSED, LIMIT_EXCEEDED (no descriptor is left for a thread's first wait),
 * WOULD_DEADLOCK, FORKED; trunkline_stream_error has the details. Since 0.1.
 *
 * # Safety
 *
 * `buf` is good for `cap` bytes.
 */
trunkline_status_t trunkline_stream_read(struct trunkline_stream_t stream,
                                         uint8_t *buf,
                                         size_t cap,
                                         int64_t deadline_ns,
                                         size_t *n);

/**
 * Writes what fits of `iovcnt` buffers, in order; `*n` says how many bytes were taken, which may be a part.
 *
 * A deadline of 0 tries once and says WOULD_BLOCK.
 *
 * Ownership: none. Blocks: until at least one byte was taken, or the deadline. Threads: any, any number at
 * once; those of the library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE,
 * WOULD_BLOCK, TIMEOUT, BROKEN, CLOSED, LIMIT_EXCEEDED (no descriptor is left for a thread's first wait),
 * WOULD_DEADLOCK, FORKED; trunkline_stream_error has the details. Since 0.1.
 *
 * # Safety
 *
 * `iov` is good for `iovcnt` elements, and each of them for its bytes.
 */
trunkline_status_t trunkline_stream_write(struct trunkline_stream_t stream,
                                          const struct trunkline_bytes_t *iov,
                                          size_t iovcnt,
                                          int64_t deadline_ns,
                                          size_t *n);

/**
 * Reads what is there, at most `max` bytes, as a buffer. `*out` is empty at the end of the stream.
 *
 * What the peer has handed over by trunkline_stream_send_buf through a pipe is that very buffer, or the first `max` bytes of
 * it; everything else is copied into a new one of at most 64 KiB.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: as trunkline_stream_read.
 * Threads: as trunkline_stream_read. Errors: as trunkline_stream_read. Since 0.1.
 */
trunkline_status_t trunkline_stream_recv_buf(struct trunkline_stream_t stream,
                                             size_t max,
                                             int64_t deadline_ns,
                                             struct trunkline_buf_t **out);

/**
 * Writes what fits of a buffer and takes it off its front; `*n` says how many bytes it was. What is left stays in
 * `buf`, until it is empty.
 *
 * Through a pipe, buffers of 4 KiB and more are handed over as they are, without a copy: their memory is released after
 * the reader is done with it. Everything else is copied. A deadline of 0 tries once and says WOULD_BLOCK.
 *
 * Ownership: `buf` stays the caller's, to be freed with trunkline_buf_free. Blocks: as trunkline_stream_write. Threads: as
 * trunkline_stream_write; `buf` is used by this call alone. Errors: as trunkline_stream_write. Since 0.1.
 */
trunkline_status_t trunkline_stream_send_buf(struct trunkline_stream_t stream,
                                             struct trunkline_buf_t *buf,
                                             int64_t deadline_ns,
                                             size_t *n);

/**
 * Asks for one event per direction in `interest` (TRUNKLINE_READABLE, TRUNKLINE_WRITABLE, or both) on `cq`.
 *
 * The event comes at once if the direction is ready, may come for nothing, and comes with CLOSED when the
 * stream is closed. While one is owed for the same direction and queue, arming again gives it the new tag.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (the
 * queue), CLOSED (the queue, or the runtime), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_stream_arm(struct trunkline_stream_t stream,
                                        uint32_t interest,
                                        struct trunkline_cq_t cq,
                                        uint64_t tag);

/**
 * Ends directions in order: TRUNKLINE_WRITABLE sends the end of the stream after what was written,
 * TRUNKLINE_READABLE takes no more. Ending one twice, or after the peer has gone, is OK.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED, BROKEN, FORKED.
 * Since 0.1.
 */
trunkline_status_t trunkline_stream_shutdown(struct trunkline_stream_t stream,
                                             uint32_t how);

/**
 * Why the stream broke, in full; OK and NULL if it did not.
 *
 * Ownership: the error is the caller's, to be freed with trunkline_error_free. Blocks: no. Threads: any.
 * Errors: the status of the failure that is told; INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_stream_error(struct trunkline_stream_t stream, struct trunkline_error_t **err);

/**
 * Writes the address of an end, TRUNKLINE_LOCAL or TRUNKLINE_PEER, as text with a NUL; `*len` is without it.
 *
 * An end without a name, such as a pipe's, is an empty text. An address has at most 300 bytes.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also a buffer that is too short),
 * INVALID_HANDLE, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `text` is good for `cap` bytes.
 */
trunkline_status_t trunkline_stream_address(struct trunkline_stream_t stream,
                                            uint32_t which,
                                            char *text,
                                            size_t cap,
                                            size_t *len);

/**
 * Fills the counts of a stream; they are exact also after it was closed.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_stream_stats(struct trunkline_stream_t stream,
                                          struct trunkline_stream_stats_t *stats);

/**
 * Closes a stream with a reset: the peer sees ECONNRESET instead of an end. Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_stream_abort(struct trunkline_stream_t stream);

/**
 * Closes a stream: its descriptor is gone on return, and whoever waits on it gets CLOSED. Idempotent.
 *
 * Ownership: the handle stays the caller's, for stats and for trunkline_stream_free. Blocks: no. Threads: any.
 * Errors: INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_stream_close(struct trunkline_stream_t stream);

/**
 * Frees a stream, and closes it if that was not done.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_stream_free(struct trunkline_stream_t stream);

/**
 * As trunkline_tcp_manager_new_with, with the default options.
 *
 * It may also say where to listen and where connections go, for trunkline_tcp_manager_start: {"listeners": {"web":
 * {"address": "tcp://0.0.0.0:443"}}, "routes": [{"host": "*.a.example", "backend": "a"}], "default_backend": "b",
 * "backends": {"a": {"endpoints": [{"address": "tcp://10.0.0.1:443"}]}, "b": ...}}. docs/managers.md has all of it.
 *
 * Ownership: the manager is the caller's, to be freed once with trunkline_tcp_manager_free. Blocks: no. Threads:
 * any. Errors: as trunkline_tcp_manager_new_with. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_tcp_manager_new(struct trunkline_runtime_t rt,
                                             const char *json,
                                             size_t json_len,
                                             struct trunkline_tcp_manager_t *out,
                                             struct trunkline_error_t **err);

/**
 * Makes a TCP manager. `json` is a document such as {"max_connections": 100, "idle_timeout": "10m",
 * "tcp": {"connect_timeout": "2s"}}; empty means the defaults: 1024 connections, 1 h idle, 60 s half-closed. The options
 * hold for all that it connects to, listens on and relays.
 *
 * Ownership: the manager is the caller's, to be freed once with trunkline_tcp_manager_free. Blocks: no. Threads:
 * any. Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_tcp_manager_new_with(struct trunkline_runtime_t rt,
                                                  const char *json,
                                                  size_t json_len,
                                                  const struct trunkline_connect_options_t *opts,
                                                  struct trunkline_tcp_manager_t *out,
                                                  struct trunkline_error_t **err);

/**
 * Connects as trunkline_connect does, under the manager's limit: the stream is counted until it is closed.
 *
 * With TRUNKLINE_DEADLINE_NONE the configured connect timeout holds.
 *
 * Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until the
 * deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (at once),
 * CONNECTION_FAILED, TIMEOUT, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes.
 */
trunkline_status_t trunkline_tcp_manager_connect(struct trunkline_tcp_manager_t manager,
                                                 const char *address,
                                                 size_t address_len,
                                                 int64_t deadline_ns,
                                                 struct trunkline_stream_t *out,
                                                 struct trunkline_error_t **err);

/**
 * As trunkline_tcp_manager_connect; the result is an event of kind TRUNKLINE_EV_CONNECTED with the stream in
 * `handle`.
 *
 * Ownership: the stream in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
 * INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (handles, the queue), CLOSED (the runtime), FORKED; the others
 * come with the event, also CANCELLED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes.
 */
trunkline_status_t trunkline_tcp_manager_connect_async(struct trunkline_tcp_manager_t manager,
                                                       const char *address,
                                                       size_t address_len,
                                                       int64_t deadline_ns,
                                                       const struct trunkline_completion_t *completion,
                                                       struct trunkline_op_t *op,
                                                       struct trunkline_error_t **err);

/**
 * Listens as trunkline_listen does, under the manager's limit: what is accepted is counted until it is closed,
 * and while the limit is reached connections wait in the backlog.
 *
 * Ownership: the listener is the caller's, to be freed once with trunkline_listener_free. Blocks: for the
 * look-up of a host name. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, BIND_FAILED,
 * LIMIT_EXCEEDED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes.
 */
trunkline_status_t trunkline_tcp_manager_listen(struct trunkline_tcp_manager_t manager,
                                                const char *address,
                                                size_t address_len,
                                                struct trunkline_listener_t *out,
                                                struct trunkline_error_t **err);

/**
 * Listens on `listen` and relays every connection to `destination`, in the background, until the manager is
 * drained, closed or freed. One relayed connection counts once against the limit.
 *
 * The address that is listened on is written to `bound` as text with a NUL; `*bound_len` is without it. With a
 * `cap` of 0 it is not told.
 *
 * Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors:
 * INVALID_ARGUMENT (also a destination that leads back, and a `cap` of less than 128 bytes or than
 * `listen` with a NUL), INVALID_HANDLE, BIND_FAILED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `listen` is good for `listen_len` bytes, `destination` for `destination_len` and `bound` for `cap`.
 */
trunkline_status_t trunkline_tcp_manager_relay(struct trunkline_tcp_manager_t manager,
                                               const char *listen,
                                               size_t listen_len,
                                               const char *destination,
                                               size_t destination_len,
                                               char *bound,
                                               size_t cap,
                                               size_t *bound_len,
                                               struct trunkline_error_t **err);

/**
 * Listens where the document says, and passes every connection on to the backend that its routes say, in the
 * background, until the manager is drained, closed or freed. Either all listeners start or none.
 *
 * `*bound` is one JSON object with the address of each listener by its name, such as {"web": "tcp://0.0.0.0:443"}.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: for the look-up of host names.
 * Threads: any but the library's. Errors: INVALID_ARGUMENT (also when it was started before, and for an endpoint
 * that leads back), INVALID_HANDLE, BIND_FAILED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_start(struct trunkline_tcp_manager_t manager,
                                               struct trunkline_buf_t **bound,
                                               struct trunkline_error_t **err);

/**
 * Writes the address of a listener of the document as text with a NUL; `*len` is without it.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also a `cap` that is too small),
 * INVALID_HANDLE, NOT_FOUND (also before it is started), FORKED. Since 0.1.
 *
 * # Safety
 *
 * `name` is good for `name_len` bytes and `out` for `cap`.
 */
trunkline_status_t trunkline_tcp_manager_listener_address(struct trunkline_tcp_manager_t manager,
                                                          const char *name,
                                                          size_t name_len,
                                                          char *out,
                                                          size_t cap,
                                                          size_t *len);

/**
 * Fills the counts of a manager.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_tcp_manager_stats(struct trunkline_tcp_manager_t manager,
                                               struct trunkline_tcp_manager_stats_t *stats);

/**
 * Goes by another document from now on, and drops no connection for it. What the document does not mention has its
 * default. Either all of it holds or nothing.
 *
 * Connections that stand keep what they have: their server, their timeouts, their rates and what their sockets were told. A
 * lower limit ends nothing; no more are let in until enough have ended. Once it is started, the names and addresses of its
 * listeners cannot change.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (names the field that is wrong or cannot change),
 * INVALID_HANDLE, CLOSED (also once it drains), FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_tcp_manager_reconfigure(struct trunkline_tcp_manager_t manager,
                                                     const char *json,
                                                     size_t json_len,
                                                     struct trunkline_error_t **err);

/**
 * Connections that stand and have a number above `after`, as a JSON array in the order of their numbers, which is that
 * in which they began: `max` of them at most, 1 to 10000. A shorter array is the last; the number of the last in it, for
 * `after`, begins the next. For each {"id", "source", "local", "destination", "backend", "protocol", "state", "age_ns",
 * "idle_ns", "bytes_received", "bytes_sent"}.
 *
 * `state` is "held" of what the program accepted or dialled itself, "reaching" of what the manager takes to its
 * destination, "waiting" of what stands in line for a place of its backend, and "relaying". `protocol` is what its first bytes speak. What is not known, or does not apply, is null.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_live(struct trunkline_tcp_manager_t manager,
                                              uint64_t after,
                                              size_t max,
                                              struct trunkline_buf_t **out,
                                              struct trunkline_error_t **err);

/**
 * The connection with the number `id`, as one object of those of trunkline_tcp_manager_live.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, NOT_FOUND (no connection that stands has this number), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_inspect(struct trunkline_tcp_manager_t manager,
                                                 uint64_t id,
                                                 struct trunkline_buf_t **out,
                                                 struct trunkline_error_t **err);

/**
 * Ends the connection with the number `id`, on both sides where it is relayed: then soon after the call. A side that is
 * owed bytes sees a reset, and so does a client that has no server yet.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, NOT_FOUND (no connection that stands has this
 * number), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_kill(struct trunkline_tcp_manager_t manager,
                                              uint64_t id,
                                              struct trunkline_error_t **err);

/**
 * Lets no new connection in, waits until those that stand have finished, and cuts the rest by the deadline: one after the
 * other, in the part of the time that drain_spread of the document says; `*cut` says how many. Then the manager is closed, but
 * for its handle.
 *
 * With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
 *
 * Ownership: none. Blocks: until the last connection has ended, or the deadline. Threads: any but the library's.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_drain(struct trunkline_tcp_manager_t manager,
                                               int64_t deadline_ns,
                                               uint64_t *cut,
                                               struct trunkline_error_t **err);

/**
 * As trunkline_tcp_manager_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of
 * connections that were cut in `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then nobody is let in, and
 * those that stand go on. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_drain_async(struct trunkline_tcp_manager_t manager,
                                                     int64_t deadline_ns,
                                                     const struct trunkline_completion_t *completion,
                                                     struct trunkline_op_t *op,
                                                     struct trunkline_error_t **err);

/**
 * Closes everything of a manager, the streams and listeners that it gave away included: every descriptor is
 * gone on return. Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
 * any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_close(struct trunkline_tcp_manager_t manager);

/**
 * Frees a manager and ends its relays, without waiting. Streams and listeners that it gave away stay as they are.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_tcp_manager_free(struct trunkline_tcp_manager_t manager);

/**
 * Reads a TLS configuration and the files that it names. `json` is a document such as {"client": {"roots":
 * {"file": "ca.pem"}}, "server": {"certificate": {"chain": {"file": "chain.pem"}, "key": {"file": "key.pem"}}}}; empty
 * means a client that trusts whom the system trusts.
 *
 * The files are looked at every `reload_interval` (1 min by default) and read anew when they changed; a bad or
 * expired one replaces nothing. New handshakes use what was read last.
 *
 * Ownership: the handle is the caller's, to be freed once with trunkline_tls_free; what was made with it keeps its
 * own share. Blocks: for the files. Threads: any. Errors: INVALID_ARGUMENT (names the field), TLS (a certificate that has
 * expired or does not go with its key), INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_tls_new(struct trunkline_runtime_t rt,
                                     const char *json,
                                     size_t json_len,
                                     struct trunkline_tls_t *out,
                                     struct trunkline_error_t **err);

/**
 * Reads the files now; new handshakes use what they hold. After an error, what was in use stays in use.
 *
 * Ownership: none. Blocks: for the files. Threads: any. Errors: as trunkline_tls_new. Since 0.1.
 */
trunkline_status_t trunkline_tls_reload(struct trunkline_tls_t tls, struct trunkline_error_t **err);

/**
 * Nanoseconds until the first of our own certificates expires: 0 once it has, TRUNKLINE_NEVER if there is none.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_tls_expires_in(struct trunkline_tls_t tls,
                                            int64_t *ns);

/**
 * Frees a handle of TLS. Connections, listeners, managers, channels and pools that were made with it go on using what it names.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_tls_free(struct trunkline_tls_t tls);

/**
 * What the handshake of a stream has shown; OK and NULL for a stream without TLS.
 *
 * Ownership: the session is the caller's, to be freed with trunkline_tls_session_free. Blocks: no. Threads: any.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_stream_tls(struct trunkline_stream_t stream,
                                        struct trunkline_tls_session_t **out);

/**
 * "TLSv1.3" or "TLSv1.2"; NULL for NULL.
 *
 * Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_tls_session_version(const struct trunkline_tls_session_t *session,
                                          size_t *len);

/**
 * The application protocol that both agreed on; NULL if there is none.
 *
 * Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_tls_session_alpn(const struct trunkline_tls_session_t *session,
                                       size_t *len);

/**
 * The name that the client asked for (SNI); NULL if it asked for none, as with an IP address.
 *
 * Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_tls_session_server_name(const struct trunkline_tls_session_t *session,
                                              size_t *len);

/**
 * The first URI that the peer's certificate is for, such as a SPIFFE id; NULL if there is none.
 *
 * Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const char *trunkline_tls_session_peer_uri(const struct trunkline_tls_session_t *session,
                                           size_t *len);

/**
 * Certificate number `i` of those that the peer showed, in DER, its own first; NULL past the last.
 *
 * Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
const uint8_t *trunkline_tls_session_peer_certificate(const struct trunkline_tls_session_t *session,
                                                      size_t i,
                                                      size_t *len);

/**
 * Frees a session; NULL does nothing.
 *
 * Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
 */
void trunkline_tls_session_free(struct trunkline_tls_session_t *session);

/**
 * Makes a UDP manager. `json` is a document such as {"max_sessions": 100, "idle_timeout": "30s",
 * "amplification_limit": 100}; empty means the defaults: 2048 sessions of which 1024 unverified, 60 s idle, 5 s
 * unverified, three times the bytes that an unverified source sent.
 *
 * Ownership: the manager is the caller's, to be freed once with trunkline_udp_manager_free. Blocks: no. Threads:
 * any. Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `json` is good for `json_len` bytes.
 */
trunkline_status_t trunkline_udp_manager_new(struct trunkline_runtime_t rt,
                                             const char *json,
                                             size_t json_len,
                                             struct trunkline_udp_manager_t *out,
                                             struct trunkline_error_t **err);

/**
 * Binds a socket as trunkline_datagram_bind does, which closes with the manager.
 *
 * Ownership: the socket is the caller's, to be freed once with trunkline_datagram_free. Blocks: for the look-up of
 * a host name. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, BIND_FAILED,
 * LIMIT_EXCEEDED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `address` is good for `address_len` bytes.
 */
trunkline_status_t trunkline_udp_manager_bind(struct trunkline_udp_manager_t manager,
                                              const char *address,
                                              size_t address_len,
                                              struct trunkline_datagram_t *out,
                                              struct trunkline_error_t **err);

/**
 * Binds `listen` and relays what comes there to `destination`, in the background, until the manager is drained,
 * closed or freed. Each source has a session with its own socket to the destination, and gets its answers from
 * the address that it sent to. `opts` may be NULL.
 *
 * The address that is bound is written to `bound` as text with a NUL; `*bound_len` is without it. With a `cap` of
 * 0 it is not told.
 *
 * Ownership: none. Blocks: for the look-up of a host name in `listen`. Threads: any but the library's. Errors:
 * INVALID_ARGUMENT (also a destination that leads back, and a `cap` of less than 128 bytes or than `listen` with
 * a NUL), INVALID_HANDLE, VERSION, BIND_FAILED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `listen` is good for `listen_len` bytes, `destination` for `destination_len` and `bound` for `cap`; `opts` is
 * NULL or points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_udp_manager_relay(struct trunkline_udp_manager_t manager,
                                               const char *listen,
                                               size_t listen_len,
                                               const char *destination,
                                               size_t destination_len,
                                               const struct trunkline_udp_relay_options_t *opts,
                                               char *bound,
                                               size_t cap,
                                               size_t *bound_len,
                                               struct trunkline_error_t **err);

/**
 * Fills the counts of a manager.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
 *
 * # Safety
 *
 * `stats` points to a struct made by its INIT macro.
 */
trunkline_status_t trunkline_udp_manager_stats(struct trunkline_udp_manager_t manager,
                                               struct trunkline_udp_manager_stats_t *stats);

/**
 * The sessions that stand, as a JSON array in the order in which they began: {"id", "source", "local",
 * "destination", "verified", "age_ns", "datagrams_received", "datagrams_sent", "bytes_received", "bytes_sent"}
 * for each.
 *
 * Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_udp_manager_live(struct trunkline_udp_manager_t manager,
                                              struct trunkline_buf_t **out,
                                              struct trunkline_error_t **err);

/**
 * Ends the session with the number `id`, as trunkline_udp_manager_live tells it. Its client's next datagram begins a
 * new one.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, UDP (no session that stands has this
 * number), FORKED. Since 0.1.
 */
trunkline_status_t trunkline_udp_manager_kill(struct trunkline_udp_manager_t manager,
                                              uint64_t id,
                                              struct trunkline_error_t **err);

/**
 * Lets no new session begin, waits until those that stand have fallen silent, and at the deadline cuts the rest;
 * `*cut` says how many. Then the manager is closed, but for its handle.
 *
 * With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
 *
 * Ownership: none. Blocks: until the last session has ended, or the deadline. Threads: any but the library's.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_udp_manager_drain(struct trunkline_udp_manager_t manager,
                                               int64_t deadline_ns,
                                               uint64_t *cut,
                                               struct trunkline_error_t **err);

/**
 * As trunkline_udp_manager_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of sessions that
 * were cut in `value`.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
 * LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then those that stand go on.
 * Since 0.1.
 */
trunkline_status_t trunkline_udp_manager_drain_async(struct trunkline_udp_manager_t manager,
                                                     int64_t deadline_ns,
                                                     const struct trunkline_completion_t *completion,
                                                     struct trunkline_op_t *op,
                                                     struct trunkline_error_t **err);

/**
 * Closes everything of a manager, the sockets that it gave away included: every descriptor is gone on return.
 * Idempotent.
 *
 * Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
 * any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
 */
trunkline_status_t trunkline_udp_manager_close(struct trunkline_udp_manager_t manager);

/**
 * Frees a manager and ends its relays and sessions, without waiting. Sockets that it gave away stay as they are.
 *
 * Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
 */
trunkline_status_t trunkline_udp_manager_free(struct trunkline_udp_manager_t manager);

/**
 * The ABI of the library that is loaded, in the form of TRUNKLINE_ABI.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: none. Since 0.1.
 */
uint32_t trunkline_abi(void);

/**
 * The version of the library that is loaded, such as "0.1.0".
 *
 * Ownership: the text is static. Blocks: no. Threads: any. Errors: none. Since 0.1.
 */
const char *trunkline_version_string(void);

/**
 * Whether a program compiled with the header ABI `header_abi` may use this library. Call it with TRUNKLINE_ABI.
 *
 * Ownership: none. Blocks: no. Threads: any. Errors: VERSION. Since 0.1.
 */
trunkline_status_t trunkline_abi_check(uint32_t header_abi);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TRUNKLINE_H */
