// bf16_rmsnorm: out[row][i] = bf16(x[row][i]) * scale * bf16(weight[i]), scale = 1 / sqrt(mean of bf16(x[row][i])^2 + epsilon).
// Numbers are rounded to bfloat16 in pairs, squares are summed in single precision, and the products with scale and weight
// are packed bfloat16 arithmetic: two roundings an element. The largest magnitude of a row comes from a packed maximum.
// One warp a row.
//
// Architectures: sm_80 sm_86 sm_89 sm_90 sm_100 sm_120
//
// Launch:     one-dimensional, 32 threads a block, as many blocks as rows.
// Arguments:  0  x        const float[rows * columns]
//             1  weight   const float[columns]
//             2  out      float[rows * columns]
//             3  largest  float[rows]
//             4  columns  int, even
//             5  epsilon  float

#include <cuda_bf16.h>

extern "C" __global__ void bf16_rmsnorm(const float *__restrict__ x, const float *__restrict__ weight, float *out,
                                        float *largest, int columns, float epsilon)
{
    int row = blockIdx.x;
    const float *values = x + row * columns;
    float sum = 0.0f;
    __nv_bfloat162 most = __float2bfloat162_rn(0.0f);
    for (int i = 2 * threadIdx.x; i < columns; i += 64) {
        __nv_bfloat162 pair = __floats2bfloat162_rn(values[i], values[i + 1]);
        float2 wide = __bfloat1622float2(pair);
        sum += wide.x * wide.x + wide.y * wide.y;
        most = __hmax2(most, __habs2(pair));
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(0xffffffff, sum, distance);
        most = __hmax2(most, __shfl_xor_sync(0xffffffff, most, distance));
    }
    if (threadIdx.x == 0)
        largest[row] = __bfloat162float(__hmax(most.x, most.y));

    __nv_bfloat162 scale = __float2bfloat162_rn(rsqrtf(sum / columns + epsilon));
    for (int i = 2 * threadIdx.x; i < columns; i += 64) {
        __nv_bfloat162 pair = __floats2bfloat162_rn(values[i], values[i + 1]);
        __nv_bfloat162 gain = __floats2bfloat162_rn(weight[i], weight[i + 1]);
        float2 wide = __bfloat1622float2(__hmul2(__hmul2(pair, scale), gain));
        out[row * columns + i] = wide.x;
        out[row * columns + i + 1] = wide.y;
    }
}
