// A callback that throws ends the process at once and says why: no frame of the library is unwound.
#include "check.h"

#include <csignal>
#include <string>
#include <sys/wait.h>

namespace {

void throws_event(void *, trunkline_event_t *) { throw 42; }
void throws_owner(void *) { throw 42; }

void in_a_completion() {
  trunkline_completion_t completion = { { 0 }, 0, throws_event, nullptr };
  trunkline_op_t op;
  OK(trunkline_connect_async(default_runtime(), TEXT("mem:nobody"), NEVER, &completion, &op, nullptr));
  for (;;) pause();
}

void in_a_release() {
  trunkline_buf_free(trunkline_buf_wrap(reinterpret_cast<const uint8_t *>("x"), 1, nullptr, throws_owner));
}

// Runs `body` in a child and tells what it wrote to stderr before it was aborted.
void is_aborted(void (*body)()) {
  int pipe_ends[2];
  CHECK(pipe(pipe_ends) == 0, "a pipe is made");
  pid_t child = fork();
  CHECK(child >= 0, "a fork works");
  if (child == 0) {
    begin();
    dup2(pipe_ends[1], 2);
    std::signal(SIGABRT, SIG_DFL);
    try {
      body();
    } catch (...) {
    }
    end_child();
  }
  close(pipe_ends[1]);
  std::string words;
  char chunk[256];
  for (ssize_t n; (n = read(pipe_ends[0], chunk, sizeof chunk)) > 0;) words.append(chunk, static_cast<size_t>(n));
  close(pipe_ends[0]);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child, "the child ends");
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "the process is aborted");
  CHECK(words.find("a callback of the host threw") != std::string::npos, "with a word on why");
}

}  // namespace

int main() {
  begin();
  is_aborted(in_a_completion);
  is_aborted(in_a_release);
  return 0;
}
