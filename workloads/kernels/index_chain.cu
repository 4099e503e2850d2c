// index_chain: cycles of 128 loads each of which gives the index of the next: a multiplication and a load a step. One thread; each chain
// is followed once before it counts.
//
// Launch:     one block of 32 threads, of which one follows.
// Arguments:  0  n       int, elements of the chain
//             1  stride  int, elements from one to the next, modulo n; at most n
//             2  chain   int[n], scratch
//             3  cycles  int[2]: through the L1 (ld.ca), past it (ld.cg)
//             4  last    int[2]: the element at which each walk ended

#define STEPS 128

extern "C" __global__ void index_chain(int n, int stride, int *chain, int *cycles, int *last)
{
#pragma unroll 1
    for (int i = threadIdx.x; i < n; i += 32)
        chain[i] = i + stride < n ? i + stride : i + stride - n;
    __threadfence();
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    int at = 0;
#pragma unroll 1
    for (int walk = 0; walk < 2; ++walk) {
        at = 0;
        long long start = clock64();
#pragma unroll
        for (int step = 0; step < STEPS; ++step)
            at = __ldca(chain + at);
        cycles[0] = clock64() - start;
        last[0] = at;
    }
#pragma unroll 1
    for (int walk = 0; walk < 2; ++walk) {
        at = 0;
        long long start = clock64();
#pragma unroll
        for (int step = 0; step < STEPS; ++step)
            at = __ldcg(chain + at);
        cycles[1] = clock64() - start;
        last[1] = at;
    }
}
