// How the ranks of a stand-in communicator talk: one Unix socket between each two, in the abstract name space of Linux.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

namespace standin {

// Bytes to or from a peer.
struct Message {
  int peer;
  char* data;
  std::size_t bytes;
};

enum class Outcome { kDone, kAborted, kPeerLost, kDiffers };

class Sockets {
 public:
  ~Sockets();
  // Joins `size` ranks that share `name`; returns false if `aborted` was set before all had come.
  bool connect(const std::string& name, int size, int rank, const std::atomic<bool>& aborted);
  // Sends and receives all of these, in their order for each peer, both ways at once.
  Outcome exchange(const std::vector<Message>& sends, const std::vector<Message>& receives, const std::atomic<bool>& aborted);

 private:
  std::vector<int> peers_;
};

}  // namespace standin
