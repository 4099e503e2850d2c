// instruction_rate: cycles that 256 more independent instructions of each kind take a warp, by the SM's clock: 512 less 256, in eight
// chains. With one warp the interval at which a sub-core issues them; with many, the rate of the SM.
//
// Launch:     one block of 32 to 1024 threads.
// Arguments:  0  cycles  int[8], as below, from the first warp that begins to the last that ends
//             1  f       float[3][8][threads], input and output: add, mul, fma in single precision
//             2  i       int[2][8][threads], input and output: add, in turn with a second sum that is 1 before; mul.lo: squares
//             3  h       unsigned[8][threads], input and output: add of packed halves, all 1 before
//             4  d       double[4][threads], input and output: add, in four chains
//             5  r       float[8][threads], input and output: reciprocal square root
// Cycles are of: add.f32, mul.f32, fma.f32, add.s32, mul.lo.s32, add.f16x2, add.f64, rsqrt.approx.f32.

#define EACH(CODE)                                                                                                     \
    _Pragma("unroll") for (int k = 0; k < 8; ++k) { CODE }
// 128 instructions a round, few enough for the first instruction cache.
#define ROUNDS(COUNT, CODE)                                                                                            \
    _Pragma("unroll 1") for (int round = 0; round < COUNT; ++round)                                                    \
    {                                                                                                                  \
        _Pragma("unroll") for (int step = 0; step < 16; ++step) EACH(CODE)                                             \
    }
// The barriers make warps begin together and wait for the last; they stand in both halves.
#define RATE(INDEX, CODE)                                                                                              \
    {                                                                                                                  \
        __syncthreads();                                                                                               \
        long long start = clock64();                                                                                   \
        ROUNDS(2, CODE)                                                                                                \
        __syncthreads();                                                                                               \
        long long middle = clock64();                                                                                  \
        ROUNDS(4, CODE)                                                                                                \
        __syncthreads();                                                                                               \
        long long end = clock64();                                                                                     \
        took[INDEX] = (end - middle) - (middle - start);                                                               \
    }

extern "C" __global__ void __launch_bounds__(1024) instruction_rate(int *cycles, float *f, int *i, unsigned *h, double *d, float *r)
{
    int threads = blockDim.x, lane = threadIdx.x;
    int took[8];
    float one = 1.0f, small = 0.0009765625f;
    unsigned hone = 0x00010001;
    double dsmall = 0.0009765625;
    // So that the compiler does not know the constants.
    asm volatile("" : "+f"(one), "+f"(small), "+r"(hone), "+d"(dsmall));
    float fv[8];
    int iv[8], sum[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    unsigned hv[8];
    double dv[4];
#pragma unroll 1
    for (int trip = 0; trip < 2; ++trip) {
        EACH(fv[k] = f[k * threads + lane];)
        RATE(0, asm volatile("add.rn.f32 %0, %0, %1;" : "+f"(fv[k]) : "f"(small));)
        EACH(f[k * threads + lane] = fv[k];)
        EACH(fv[k] = f[(8 + k) * threads + lane];)
        RATE(1, asm volatile("mul.rn.f32 %0, %0, %1;" : "+f"(fv[k]) : "f"(one));)
        EACH(f[(8 + k) * threads + lane] = fv[k];)
        EACH(fv[k] = f[(16 + k) * threads + lane];)
        RATE(2, asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(fv[k]) : "f"(one), "f"(small));)
        EACH(f[(16 + k) * threads + lane] = fv[k];)
        EACH(iv[k] = i[k * threads + lane];)
        // In turn, so that the compiler does not add all at once.
        RATE(3, if (step % 2 == 0) asm volatile("add.s32 %0, %0, %1;" : "+r"(iv[k]) : "r"(sum[k]));
                else asm volatile("add.s32 %0, %0, %1;" : "+r"(sum[k]) : "r"(iv[k]));)
        EACH(i[k * threads + lane] = iv[k];)
        EACH(iv[k] = i[(8 + k) * threads + lane];)
        RATE(4, asm volatile("mul.lo.s32 %0, %0, %0;" : "+r"(iv[k]));)
        EACH(i[(8 + k) * threads + lane] = iv[k];)
        EACH(hv[k] = h[k * threads + lane];)
        RATE(5, asm volatile("add.rn.f16x2 %0, %0, %1;" : "+r"(hv[k]) : "r"(hone));)
        EACH(h[k * threads + lane] = hv[k];)
        // Four chains: each has a dependence counter of its own.
        EACH(dv[k % 4] = d[k % 4 * threads + lane];)
        RATE(6, asm volatile("add.rn.f64 %0, %0, %1;" : "+d"(dv[k % 4]) : "d"(dsmall));)
        EACH(d[k % 4 * threads + lane] = dv[k % 4];)
        EACH(fv[k] = r[k * threads + lane];)
        RATE(7, asm volatile("rsqrt.approx.ftz.f32 %0, %0;" : "+f"(fv[k]));)
        EACH(r[k * threads + lane] = fv[k];)
    }
    if (lane == 0)
        for (int kind = 0; kind < 8; ++kind)
            cycles[kind] = took[kind];
}
