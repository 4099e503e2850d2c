// pointer_chase: cycles of 128 loads each of which says where the next one reads, in shared memory, in the L1 (ld.ca) and
// behind it (ld.cg). The chain holds indices, so that each step forms an address and loads, as the published chases do.
// One thread; each chain runs once before it is timed, so that its lines are in the caches.
//
// Launch:     one block of 32 threads, of which one chases.
// Arguments:  0  n        int, elements of the chain in global memory
//             1  stride   int, elements from one to the next, modulo n; at most n
//             2  chain    unsigned[n], scratch
//             3  cycles   int[3]: shared memory, L1, behind the L1
//             4  last     int[3]: the element at which each chase ended; the chain in shared memory has 1024

#define STEPS 128
#define SHARED_WORDS 1024

extern "C" __global__ void pointer_chase(int n, int stride, unsigned *chain, int *cycles, int *last)
{
    __shared__ unsigned words[SHARED_WORDS];
#pragma unroll 1
    for (int i = threadIdx.x; i < SHARED_WORDS; i += 32)
        words[i] = (i + stride) % SHARED_WORDS;
#pragma unroll 1
    for (int i = threadIdx.x; i < n; i += 32)
        chain[i] = i + stride < n ? i + stride : i + stride - n;
    __threadfence();
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    unsigned base = (unsigned)__cvta_generic_to_shared(words);
    unsigned at = 0;
    long long start = 0, end = 0;
#pragma unroll 1
    for (int trip = 0; trip < 2; ++trip) {
        at = 0;
        start = clock64();
#pragma unroll
        for (int step = 0; step < STEPS; ++step)
            asm volatile("{ .reg .u32 a; mad.lo.u32 a, %0, 4, %1; ld.volatile.shared.u32 %0, [a]; }" : "+r"(at) : "r"(base));
        end = clock64();
        cycles[0] = end - start;
        last[0] = at;
    }
#pragma unroll 1
    for (int trip = 0; trip < 2; ++trip) {
        at = 0;
        start = clock64();
#pragma unroll
        for (int step = 0; step < STEPS; ++step)
            asm volatile("{ .reg .u64 a; mad.wide.u32 a, %0, 4, %1; ld.global.ca.u32 %0, [a]; }" : "+r"(at) : "l"(chain));
        end = clock64();
        cycles[1] = end - start;
        last[1] = at;
    }
#pragma unroll 1
    for (int trip = 0; trip < 2; ++trip) {
        at = 0;
        start = clock64();
#pragma unroll
        for (int step = 0; step < STEPS; ++step)
            asm volatile("{ .reg .u64 a; mad.wide.u32 a, %0, 4, %1; ld.global.cg.u32 %0, [a]; }" : "+r"(at) : "l"(chain));
        end = clock64();
        cycles[2] = end - start;
        last[2] = at;
    }
}
