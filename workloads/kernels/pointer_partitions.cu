// pointer_partitions: cycles of each of 128 loads along a chain of pointers that another block has followed before, past the L1:
// what the L2 keeps in one partition is near one of both and far from the other. Needs values at issue (--coupled).
//
// Launch:     two blocks or more of 32 threads; the first follows, then the last, each with one thread; the others end at once.
// Arguments:  0  warm    const unsigned long long[n], a chain of pointers, to have the code in the caches
//             1  chain   const unsigned long long[n], a chain of pointers
//             2  done    unsigned[1], 0 before
//             3  cycles  int[128], of each step of the last block, what reads the clock included
//             4  last    unsigned long long[2], how far from its beginning each block ended, in bytes

#define STEPS 128

extern "C" __global__ void pointer_partitions(const unsigned long long *warm, const unsigned long long *chain,
                                              unsigned *done, int *cycles, unsigned long long *last)
{
    __shared__ volatile unsigned long long seen[STEPS];
    __shared__ int took[STEPS];
    unsigned long long first = (unsigned long long)chain, at = first;
    if (threadIdx.x != 0)
        return;
    if (blockIdx.x == 0) {
#pragma unroll 1
        for (int step = 0; step < STEPS; ++step)
            asm volatile("ld.global.cg.u64 %0, [%0];" : "+l"(at));
        last[0] = at - first;
        __threadfence();
        atomicAdd(done, 1);
    } else if (blockIdx.x == gridDim.x - 1) {
        while (*(volatile unsigned *)done == 0)
            ;
        __threadfence();
#pragma unroll 1
        for (int walk = 0; walk < 2; ++walk) {
            at = walk == 0 ? (unsigned long long)warm : first;
#pragma unroll 1
            for (int step = 0; step < STEPS; ++step) {
                long long start = clock64();
                asm volatile("ld.global.cg.u64 %0, [%0];" : "+l"(at));
                seen[step] = at; // waits for the load
                took[step] = clock64() - start;
            }
        }
        last[1] = at - first;
        for (int step = 0; step < STEPS; ++step)
            cycles[step] = took[step];
    }
}
