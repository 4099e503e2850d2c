// pointer_chain: cycles of loads each of which gives the address of the next: a chain of pointers of 64 bits, with no arithmetic
// between them. One thread follows it. A short chain is followed first, so that the code is in the caches.
//
// Launch:     one block of 32 threads, of which one follows.
// Arguments:  0  rounds  int, of 128 steps each
//             1  warm    const unsigned long long[n], a chain of pointers
//             2  chain   const unsigned long long[n], a chain of pointers
//             3  cycles  int[6], as below
//             4  last    unsigned long long[3], how far from its beginning each chain ended, in bytes
// Chains are: past the L1 (ld.cg), through it (ld.ca), and through it in the lower words of the pointers alone. Cycles are of each,
// the first time and again.

#define STEPS 128

template <bool L1> __device__ unsigned long long follow(unsigned long long at, int rounds, int *cycles)
{
    long long start = clock64();
#pragma unroll 1
    for (int round = 0; round < rounds; ++round)
#pragma unroll
        for (int step = 0; step < STEPS; ++step)
            if (L1)
                asm volatile("ld.global.ca.u64 %0, [%0];" : "+l"(at));
            else
                asm volatile("ld.global.cg.u64 %0, [%0];" : "+l"(at));
    *cycles = clock64() - start;
    return at;
}

// The upper word of all pointers is the same: what is loaded is the lower.
__device__ unsigned follow_words(unsigned long long first, int rounds, int *cycles)
{
    unsigned at = (unsigned)first, upper = (unsigned)(first >> 32);
    long long start = clock64();
#pragma unroll 1
    for (int round = 0; round < rounds; ++round)
#pragma unroll
        for (int step = 0; step < STEPS; ++step)
            asm volatile("{ .reg .u64 p; mov.b64 p, {%0, %1}; ld.global.ca.u32 %0, [p]; }" : "+r"(at) : "r"(upper));
    *cycles = clock64() - start;
    return at - (unsigned)first;
}

extern "C" __global__ void pointer_chain(int rounds, const unsigned long long *warm, const unsigned long long *chain,
                                         int *cycles, unsigned long long *last)
{
    if (threadIdx.x != 0)
        return;
    unsigned long long first = (unsigned long long)chain, at = 0;
#pragma unroll 1
    for (int walk = 0; walk < 3; ++walk)
        at = follow<false>(walk == 0 ? (unsigned long long)warm : first, walk == 0 ? 1 : rounds, cycles + (walk == 2));
    last[0] = at - first;
#pragma unroll 1
    for (int walk = 0; walk < 3; ++walk)
        at = follow<true>(walk == 0 ? (unsigned long long)warm : first, walk == 0 ? 1 : rounds, cycles + 2 + (walk == 2));
    last[1] = at - first;
#pragma unroll 1
    for (int walk = 0; walk < 3; ++walk)
        last[2] = follow_words(walk == 0 ? (unsigned long long)warm : first, walk == 0 ? 1 : rounds, cycles + 4 + (walk == 2));
}
