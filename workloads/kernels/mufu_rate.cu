// mufu_rate: cycles of 256 reciprocal square roots (MUFU.RSQ) of a warp, in eight chains that do not depend on each other, with one
// warp in each quarter of the SM.
//
// Launch:     one block of 128 threads.
// Arguments:  0  cycles  int[4], by warp
//             1  x       float[1024], input and output: eight a thread, each to the power (-1/2)^64

extern "C" __global__ void mufu_rate(int *cycles, float *x)
{
    float v[8];
#pragma unroll
    for (int k = 0; k < 8; ++k)
        v[k] = x[k * 128 + threadIdx.x];
    long long start = 0, end = 0;
#pragma unroll 1
    for (int trip = 0; trip < 2; ++trip) {
        __syncthreads();
        start = clock64();
#pragma unroll
        for (int op = 0; op < 256; op += 8)
#pragma unroll
            for (int k = 0; k < 8; ++k)
                asm volatile("rsqrt.approx.ftz.f32 %0, %0;" : "+f"(v[k]));
        end = clock64();
    }
#pragma unroll
    for (int k = 0; k < 8; ++k)
        x[k * 128 + threadIdx.x] = v[k];
    if (threadIdx.x % 32 == 0)
        cycles[threadIdx.x / 32] = end - start;
}
