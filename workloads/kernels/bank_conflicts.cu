// bank_conflicts: cycles of 128 loads of a warp from shared memory, for distances of 1, 2, 4, 8, 16 and 32 words between
// the lanes: as many passes over the 32 banks as the distance. The loads do not depend on each other.
//
// Launch:     one block of 32 threads.
// Arguments:  0  cycles  int[6], by distance
//             1  sums    int[192]: [distance][lane], the sum of what the lane loaded: the words lane * distance + 0 … 127,
//                        where word i holds i

#define LOADS 128
#define WORDS (1024 + LOADS)

extern "C" __global__ void bank_conflicts(int *cycles, int *sums)
{
    __shared__ int words[WORDS];
    for (int i = threadIdx.x; i < WORDS; i += 32)
        words[i] = i;
    __syncthreads();
    const volatile int *shared = words;
#pragma unroll 1
    for (int log = 0; log < 6; ++log) {
        const volatile int *from = shared + (threadIdx.x << log);
        long long start = 0, end = 0;
        int sum = 0;
#pragma unroll 1
        for (int trip = 0; trip < 2; ++trip) {
            sum = 0;
            start = clock64();
#pragma unroll
            for (int load = 0; load < LOADS; ++load)
                sum += from[load];
            end = clock64();
        }
        sums[log * 32 + threadIdx.x] = sum;
        if (threadIdx.x == 0)
            cycles[log] = end - start;
    }
}
