// Keeps UCX's TCP transport from using an endpoint that it has just freed; per thread.
//
// uct_tcp_iface_handle_events (src/uct/tcp/tcp_iface.c, the same in every release so far) serves
// what an endpoint's socket is ready for in one go: it reads, and then writes. What it reads may be
// the peer's last word on a connection that this side has closed already, and then the endpoint is
// freed before it writes. That happens when a reader that had stopped goes on after its link was
// cut: its socket takes data again and brings that last word at once. So no socket is reported as
// ready for both.
#pragma once

namespace weightmesh {

// From now on epoll_wait on this thread reports a socket that is ready for reading and for writing
// as ready for one of them, by turns. With level-triggered events, as UCX asks for, the other one
// comes with the next call, if the socket is still there. Other threads' calls are as ever.
void ReportOneDirectionAtATime();

}  // namespace weightmesh
