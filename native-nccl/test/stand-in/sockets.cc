#include "sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace standin {
namespace {

constexpr int kPatienceMs = 10;
constexpr int kBufferBytes = 1 << 20;

socklen_t addressOf(const std::string& name, int rank, sockaddr_un& address) {
  std::memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  const std::string path = name + "-" + std::to_string(rank);
  std::memcpy(address.sun_path + 1, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
}

int prepared(int socket) {
  fcntl(socket, F_SETFL, O_NONBLOCK);
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kBufferBytes, sizeof kBufferBytes);
  return socket;
}

// The messages of one peer in one direction, each behind eight bytes that say how long it is.
struct Flow {
  std::vector<Message> messages;
  std::size_t index = 0, at = 0;
  std::uint64_t header = 0;
  bool done() const { return index == messages.size(); }
};

}  // namespace

Sockets::~Sockets() {
  for (int socket : peers_) {
    if (socket >= 0) close(socket);
  }
}

bool Sockets::connect(const std::string& name, int size, int rank, const std::atomic<bool>& aborted) {
  peers_.assign(static_cast<std::size_t>(size), -1);
  sockaddr_un address;
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const socklen_t length = addressOf(name, rank, address);
  bind(listener, reinterpret_cast<sockaddr*>(&address), length);
  listen(listener, size);
  fcntl(listener, F_SETFL, O_NONBLOCK);
  bool whole = true;
  for (int peer = 0; peer < rank && whole; peer++) {
    for (;;) {
      const int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const socklen_t peerLength = addressOf(name, peer, address);
      if (::connect(made, reinterpret_cast<sockaddr*>(&address), peerLength) == 0) {
        const std::int32_t own = rank;
        if (write(made, &own, sizeof own) != sizeof own) whole = false;
        peers_[static_cast<std::size_t>(peer)] = prepared(made);
        break;
      }
      close(made);
      if (aborted) whole = false;
      if (!whole) break;
      poll(nullptr, 0, kPatienceMs);
    }
  }
  for (int missing = size - 1 - rank; missing > 0 && whole;) {
    pollfd waiting{listener, POLLIN, 0};
    poll(&waiting, 1, kPatienceMs);
    const int made = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (aborted) whole = false;
    if (made < 0) continue;
    std::int32_t peer = -1;
    if (read(made, &peer, sizeof peer) != sizeof peer) whole = false;
    else peers_[static_cast<std::size_t>(peer)] = prepared(made);
    missing--;
  }
  close(listener);
  return whole;
}

Outcome Sockets::exchange(const std::vector<Message>& sends, const std::vector<Message>& receives,
                          const std::atomic<bool>& aborted) {
  std::vector<Flow> out(peers_.size()), in(peers_.size());
  for (const Message& message : sends) out[static_cast<std::size_t>(message.peer)].messages.push_back(message);
  for (const Message& message : receives) in[static_cast<std::size_t>(message.peer)].messages.push_back(message);

  // Moves what can be moved now. Returns false at the end of the connection.
  const auto move = [](int socket, Flow& flow, bool sending, bool& differs) {
    while (!flow.done()) {
      Message& message = flow.messages[flow.index];
      const bool inHeader = flow.at < sizeof flow.header;
      if (sending && flow.at == 0) flow.header = message.bytes;
      char* data = inHeader ? reinterpret_cast<char*>(&flow.header) + flow.at : message.data + (flow.at - sizeof flow.header);
      const std::size_t rest = inHeader ? sizeof flow.header - flow.at : sizeof flow.header + message.bytes - flow.at;
      if (rest > 0) {
        const ssize_t moved = sending ? send(socket, data, rest, MSG_NOSIGNAL) : recv(socket, data, rest, 0);
        if (moved < 0) return errno == EAGAIN || errno == EINTR;
        if (moved == 0) return false;
        flow.at += static_cast<std::size_t>(moved);
      }
      if (!sending && flow.at == sizeof flow.header && flow.header != message.bytes) return differs = true;
      if (flow.at >= sizeof flow.header && flow.at == sizeof flow.header + message.bytes) {
        flow.index++;
        flow.at = 0;
      }
    }
    return true;
  };

  for (;;) {
    std::vector<pollfd> waiting;
    for (std::size_t peer = 0; peer < peers_.size(); peer++) {
      bool differs = false;
      if (!out[peer].done() && !move(peers_[peer], out[peer], true, differs)) return Outcome::kPeerLost;
      if (!in[peer].done() && !move(peers_[peer], in[peer], false, differs)) return Outcome::kPeerLost;
      if (differs) return Outcome::kDiffers;
      const int events = (out[peer].done() ? 0 : POLLOUT) | (in[peer].done() ? 0 : POLLIN);
      if (events) waiting.push_back({peers_[peer], static_cast<short>(events), 0});
    }
    if (waiting.empty()) return Outcome::kDone;
    if (aborted) return Outcome::kAborted;
    poll(waiting.data(), waiting.size(), kPatienceMs);
  }
}

}  // namespace standin
