// Keeps UCX's TCP transport from two uses of what is no longer there; per thread. Both are in
// src/uct/tcp of every release so far.
//
// uct_tcp_iface_handle_events serves what an endpoint's socket is ready for in one go: it reads,
// and then writes. What it reads may be the peer's last word on a connection that this side has
// closed already, and then the endpoint is freed before it writes. That happens when a reader that
// had stopped goes on after its link was cut: its socket takes data again and brings that last word
// at once. So no socket is reported as ready for both.
//
// uct_tcp_ep_progress_am_rx takes as much as a socket has, and then one message after the other. A
// message that makes UCX open an endpoint to the same peer may take away the connection that it is
// reading, with what is still to be read (uct_tcp_ep_replace_ep), and it goes on with a buffer that
// is null. That happens when a peer asks to be connected and gives up while this side is busy. So
// no read goes beyond a message.
#pragma once

#include <cstddef>

namespace weightmesh {

// From now on, on this thread, epoll_wait reports a socket that is ready for reading and for
// writing as ready for one of them, by turns: with level-triggered events, as UCX asks for, the
// other one comes with the next call, if the socket is still there. And recv takes the header of a
// message alone where UCX asks for as much as there is, which is `receive_segment` bytes (its
// TCP_RX_SEG_SIZE) and a header; for what a message has beyond it UCX asks by its size. Other
// threads' calls are as ever.
void GuardTcp(size_t receive_segment);

}  // namespace weightmesh
