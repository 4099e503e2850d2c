// dependent_chain: cycles of 256 dependent instructions of one kind, by the SM's clock. One warp, so that nothing else
// issues; each chain runs twice, and the second time its instructions are in the caches.
//
// Launch:     one block of 32 threads.
// Arguments:  0  a        float
//             1  b        float
//             2  cycles   int[2]: of the FFMA chain, of the IADD3 chain
//             3  f        float[32], input and output: f * a + b, 512 times
//             4  i        int[32], input and output: the Fibonacci numbers from 1 and i, 512 steps on

extern "C" __global__ void dependent_chain(float a, float b, int *cycles, float *f, int *i)
{
    float x = f[threadIdx.x];
    int y = i[threadIdx.x], z = 1;
    long long start = 0, middle = 0, end = 0;
#pragma unroll 1
    for (int trip = 0; trip < 2; ++trip) {
        start = clock64();
#pragma unroll
        for (int op = 0; op < 256; ++op)
            asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(b));
        middle = clock64();
#pragma unroll
        for (int op = 0; op < 256; op += 2) {
            asm volatile("add.s32 %0, %0, %1;" : "+r"(z) : "r"(y));
            asm volatile("add.s32 %0, %0, %1;" : "+r"(y) : "r"(z));
        }
        end = clock64();
    }
    f[threadIdx.x] = x;
    i[threadIdx.x] = y;
    if (threadIdx.x == 0) {
        cycles[0] = middle - start;
        cycles[1] = end - middle;
    }
}
