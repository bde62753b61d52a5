#include "bench/peer.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/core/check.h"

namespace mixop::bench {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const std::string& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
}

}  // namespace

Peer::Peer(const std::vector<std::string>& command, const std::vector<std::string>& environment) {
  for (const std::string& word : command) command_ += (command_.empty() ? "" : " ") + word;
  std::vector<std::string> variables;
  for (char** v = environ; *v; ++v) variables.emplace_back(*v);
  for (const std::string& v : environment)
    if (!std::getenv(v.substr(0, v.find('=')).c_str())) variables.push_back(v);
  int ends[2];
  MIXOP_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "peer: ", std::strerror(errno));
  socket_ = ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  const int problem = posix_spawnp(&pid_, command[0].c_str(), &actions, nullptr, pointers(command).data(),
                                   pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (problem) {
    pid_ = -1;
    close(socket_);
    kernels::fail("peer: cannot start ", command[0], ": ", std::strerror(problem));
  }
  try {
    ready_ = read();
  } catch (...) {
    wait();
    close(socket_);
    throw;
  }
}

Peer::~Peer() {
  if (pid_ > 0) kill(pid_, SIGTERM);
  wait();
  close(socket_);
}

nlohmann::json Peer::step() {
  constexpr std::string_view kStep = "step\n";
  if (send(socket_, kStep.data(), kStep.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(kStep.size())) fail_ended();
  return read();
}

nlohmann::json Peer::finish() {
  shutdown(socket_, SHUT_WR);
  nlohmann::json record = read();
  const int status = wait();
  MIXOP_CHECK(status == 0, "the peer ended with status ", status, ": ", command_);
  return record;
}

nlohmann::json Peer::read() {
  for (;;) {
    const size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      const std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (line.starts_with('{')) return nlohmann::json::parse(line);
      std::printf("peer: %s\n", line.c_str());
      continue;
    }
    char bytes[4096];
    const ssize_t n = recv(socket_, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_ended();
    buffer_.append(bytes, static_cast<size_t>(n));
  }
}

void Peer::fail_ended() {
  kernels::fail("the peer ended too early with status ", wait(), " (is PyTorch installed?): ", command_);
}

int Peer::wait() {
  if (pid_ <= 0) return 0;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace mixop::bench
