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
