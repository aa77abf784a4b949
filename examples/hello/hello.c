#include <stdio.h>
#include <string.h>
#include "trunkline.h"
#define TRY(call) do { if ((call) != TRUNKLINE_OK) { printf("%s\n", trunkline_error_message(err, NULL)); return 1; } } while (0)

int main(void) {
  trunkline_runtime_t rt = {0}; /* the default one, made on first use */
  trunkline_listener_t listener;
  trunkline_stream_t near, far;
  trunkline_bytes_t text = {(const uint8_t *)"hello from C", 12};
  trunkline_error_t *err = NULL;
  char where[64], buf[64];
  size_t n;
  TRY(trunkline_listen(rt, "tcp://127.0.0.1:0", 17, NULL, &listener, &err));
  TRY(trunkline_listener_address(listener, where, sizeof where, &n));
  TRY(trunkline_connect(rt, where, n, TRUNKLINE_DEADLINE_NONE, &near, &err));
  TRY(trunkline_listener_accept(listener, TRUNKLINE_DEADLINE_NONE, &far, &err));
  TRY(trunkline_stream_write(near, &text, 1, TRUNKLINE_DEADLINE_NONE, &n));
  TRY(trunkline_stream_read(far, (uint8_t *)buf, sizeof buf, TRUNKLINE_DEADLINE_NONE, &n));
  printf("%.*s\n", (int)n, buf);
  trunkline_stream_free(near), trunkline_stream_free(far), trunkline_listener_free(listener);
  return trunkline_runtime_shutdown(rt, TRUNKLINE_DEADLINE_NONE, NULL);
}
