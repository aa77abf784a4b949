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
