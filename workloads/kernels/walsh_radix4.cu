// walsh_radix4: two levels of a fast Walsh transform at once, on global memory, four elements a thread.
//
// Launch:     grid = (size / 1024, transforms), block.x = 256; size = 4 * stride elements of a (part of a) transform.
// Arguments:  0  out     float[transforms * size], output; may be `in`
//             1  in      const float[transforms * size]
//             2  stride  int, a power of two

extern "C" __global__ void walsh_radix4(float *out, const float *in, int stride)
{
    int place = blockIdx.x * blockDim.x + threadIdx.x, size = gridDim.x * blockDim.x * 4;
    const float *source = in + blockIdx.y * size;
    float *target = out + blockIdx.y * size;
    int low = place & (stride - 1);
    int i0 = ((place - low) << 2) + low, i1 = i0 + stride, i2 = i1 + stride, i3 = i2 + stride;
    float d0 = source[i0], d1 = source[i1], d2 = source[i2], d3 = source[i3];
    float a = d0 + d2, b = d1 + d3, c = d0 - d2, d = d1 - d3;
    target[i0] = a + b;
    target[i1] = a - b;
    target[i2] = c + d;
    target[i3] = c - d;
}
