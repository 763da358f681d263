#!/usr/bin/env python3
"""One rank of a ring all-reduce by torch.distributed's gloo; rank 0 prints the median seconds.

Usage: gloo_ring.py RANK RANKS MASTER_IP INTERFACE FLOATS REPEATS
Needs Debian's python3-torch. mesh_bench starts one in each network namespace.
"""
import os
import statistics
import sys
import time


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    rank, ranks, floats, repeats = (int(sys.argv[k]) for k in (1, 2, 5, 6))
    os.environ["GLOO_SOCKET_IFNAME"] = sys.argv[4]
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://{sys.argv[3]}:29500", rank=rank, world_size=ranks)
    weights = torch.zeros(floats)
    seconds = []
    for _ in range(repeats + 1):
        dist.barrier()
        begun = time.monotonic()
        dist.all_reduce(weights)
        seconds.append(time.monotonic() - begun)
    if rank == 0:
        print(statistics.median(seconds[1:]))


main()
